"""A camera for demonstrations and tests: a real RTSP server and its own ONVIF service, no client code shared."""
