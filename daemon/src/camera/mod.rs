//! Layer 3: one supervised pipeline per camera.
