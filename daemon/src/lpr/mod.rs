//! lpr
