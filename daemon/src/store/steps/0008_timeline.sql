-- The timeline reads the times of a month of segments: from the index alone.
DROP INDEX segments_camera_time;
CREATE INDEX segments_camera_time ON segments (camera, stream, start, "end");
