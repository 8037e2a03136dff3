"""A lean RTSP server that replays encoded clips from memory: for benchmarks with many cameras, and for faults."""
