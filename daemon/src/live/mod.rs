//! Layer 3: live video for browsers, from the fragments that are recorded.
