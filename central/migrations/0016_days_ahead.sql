-- Partitions are made ahead of their day, and what went to the default partition moves into its day once that has one.

-- Makes the partition of one UTC day, with the rows of that day that the default partition holds. It needs the default
-- partition for itself for as long as it takes to read it: the caller sets the time that it may wait and take. Always true.
CREATE OR REPLACE FUNCTION ai.ensure_day(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    name text := 'detections_' || to_char(day, 'YYYYMMDD');
    first timestamptz := day::timestamp AT TIME ZONE 'UTC';
    next timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass('ai.' || name) IS NOT NULL THEN
        RETURN true;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ai.detections'));
    IF to_regclass('ai.' || name) IS NOT NULL THEN
        RETURN true;
    END IF;
    -- Attached, because CREATE ... PARTITION OF would lock the whole table against writers.
    EXECUTE format('CREATE TABLE ai.%I (LIKE ai.detections INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    -- In this order, which is that of DROP TABLE.
    LOCK TABLE ONLY ai.detections IN SHARE UPDATE EXCLUSIVE MODE;
    LOCK TABLE ONLY ai.detections_other IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('WITH gone AS (DELETE FROM ai.detections_other WHERE first_seen >= $1 AND first_seen < $2 RETURNING *)
                    INSERT INTO ai.%I SELECT * FROM gone', name) USING first, next;
    EXECUTE format('ALTER TABLE ai.detections ATTACH PARTITION ai.%I FOR VALUES FROM (%L) TO (%L)', name, first, next);
    RETURN true;
EXCEPTION WHEN duplicate_table OR unique_violation THEN
    -- Another service was faster, and what this session remembers of the catalog is older than that.
    RETURN true;
END $$;

-- Days go when no record is kept any more that told of them, which the service finds out itself: a passage may be delivered
-- long after it was seen, and going by its day alone it was gone within the hour.
DROP FUNCTION ai.drop_days(date);
