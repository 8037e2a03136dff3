-- How much of an hour of a stream should have been recorded, and was.
CREATE TABLE streaming.coverage (
    box_id        uuid NOT NULL,
    epoch         bigint NOT NULL,
    seq           bigint NOT NULL,
    id            text NOT NULL,
    camera        text NOT NULL,
    stream        text NOT NULL,
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz NOT NULL,
    expected_us   bigint NOT NULL,
    stored_us     bigint NOT NULL,
    prefeitura_id uuid NOT NULL,
    PRIMARY KEY (box_id, epoch, seq)
);
CREATE INDEX coverage_time ON streaming.coverage (box_id, camera, stream, started_at);

CREATE FUNCTION sync.coverage_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF streaming.coverage LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, b->>'camera', b->>'stream', sync.at_us((b->>'start_us')::bigint),
           sync.at_us((b->>'end_us')::bigint), (b->>'expected_us')::bigint, (b->>'stored_us')::bigint,
           sync.tenant_of(box_id)
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'coverage')
$$;

ALTER TABLE streaming.coverage ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON streaming.coverage FOR SELECT USING (prefeitura_id = (SELECT admin.tenant()));

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gtv_reader') THEN
        GRANT SELECT ON streaming.coverage TO gtv_reader;
    END IF;
END $$;
