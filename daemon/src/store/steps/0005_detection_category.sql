-- What the plate's colors say: private, commercial, official and so on. Older rows do not know.
ALTER TABLE detections ADD COLUMN category TEXT;
