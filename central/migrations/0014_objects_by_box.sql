-- Objects are looked up by box, bucket and key: one index for it, instead of reading all of a box's objects for each batch.
ALTER TABLE sync.objects DROP CONSTRAINT objects_pkey, ADD PRIMARY KEY (box_id, bucket, key);
DROP INDEX sync.objects_box;
