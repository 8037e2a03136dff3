-- Rows that went when their time was over. What is left of them says so to the audit: where each chain begins now, with
-- the hash that the next record continues, and how much each hour had.
CREATE TABLE sync.expired (
    box_id     uuid NOT NULL,
    epoch      bigint NOT NULL,
    -- Last record that went; all before it went too.
    seq        bigint NOT NULL,
    hash       bytea NOT NULL,
    expired_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (box_id, epoch),
    FOREIGN KEY (box_id, epoch) REFERENCES sync.chains
);

CREATE TABLE sync.expired_hours (
    box_id  uuid NOT NULL,
    -- Begin of the hour in which the records were made, microseconds since 1970.
    hour_us bigint NOT NULL,
    records bigint NOT NULL,
    objects bigint NOT NULL,
    PRIMARY KEY (box_id, hour_us)
);

-- One row: passages seen before this time went with their day.
CREATE TABLE sync.retention (
    one               boolean PRIMARY KEY DEFAULT true CHECK (one),
    detections_before timestamptz NOT NULL
);

-- When a record last named the object: it stays listed as long as such a record.
ALTER TABLE sync.objects ADD COLUMN named_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX objects_named ON sync.objects (named_at);

-- Drops the passages of the days before `before`; returns how many days.
CREATE FUNCTION ai.drop_days(before date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    name text;
    dropped integer := 0;
BEGIN
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'ai.detections'::regclass AND c.relname ~ '^detections_[0-9]{8}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < before
        ORDER BY 1
    LOOP
        EXECUTE format('DROP TABLE ai.%I', name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
