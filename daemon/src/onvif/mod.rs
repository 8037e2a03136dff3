//! onvif
