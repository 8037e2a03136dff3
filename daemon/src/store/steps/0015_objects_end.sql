-- Rows of objects end some time after their files. Who might still name one is looked up, by foreign keys too.
CREATE INDEX objects_deleted ON objects (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX detections_crop ON detections (crop) WHERE crop IS NOT NULL;
CREATE INDEX detections_frame ON detections (frame) WHERE frame IS NOT NULL;
CREATE INDEX detections_clip ON detections (clip) WHERE clip IS NOT NULL;
