//! Layer 3: recordings. What `docs/recording.md` promises is kept here.
