-- Plate detections (partitioned by month), their alternatives, and alerts.
CREATE SCHEMA ai;

CREATE TABLE ai.detections (
    box_id       uuid NOT NULL,
    epoch        bigint NOT NULL,
    seq          bigint NOT NULL,
    id           uuid NOT NULL,
    camera       text NOT NULL,
    plate        text NOT NULL,
    layout       text NOT NULL,
    confidence   double precision NOT NULL,
    first_seen   timestamptz NOT NULL,
    last_seen    timestamptz NOT NULL,
    best_at      timestamptz NOT NULL,
    quad         jsonb NOT NULL,
    bbox         jsonb NOT NULL,
    frame_width  integer NOT NULL,
    frame_height integer NOT NULL,
    direction    text,
    reads        bigint NOT NULL,
    single       boolean NOT NULL,
    slots        jsonb,
    crop_bucket  text,
    crop_key     text,
    crop_sha256  text,
    frame_bucket text,
    frame_key    text,
    frame_sha256 text,
    PRIMARY KEY (first_seen, box_id, epoch, seq)
) PARTITION BY RANGE (first_seen);

-- Takes what no month was made for, such as a box whose clock started in 1970.
CREATE TABLE ai.detections_other PARTITION OF ai.detections DEFAULT;

CREATE INDEX detections_id ON ai.detections (id);
CREATE INDEX detections_box_seq ON ai.detections (box_id, epoch, seq);
CREATE INDEX detections_camera_time ON ai.detections (box_id, camera, first_seen);

-- The old and the Mercosul form of one vehicle's plate (ABC1234, ABC1C34) have the same key.
CREATE FUNCTION ai.plate_key(plate text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN plate ~ '^[A-Z]{3}[0-9][A-J][0-9]{2}$'
                THEN overlay(plate PLACING chr(ascii(substr(plate, 5, 1)) - 17) FROM 5 FOR 1)
                ELSE plate END
$$;
CREATE INDEX detections_plate_key ON ai.detections (ai.plate_key(plate), first_seen);

-- Makes the partitions of `months` months from the month of `first_day` on. A month for which the default partition
-- already holds rows stays there: moving them is a decision for a quiet hour, not for a starting service.
CREATE FUNCTION ai.ensure_partitions(first_day date, months integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    month date;
    name  text;
BEGIN
    FOR i IN 0..months - 1 LOOP
        month := date_trunc('month', first_day) + i * interval '1 month';
        name := 'detections_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN to_regclass('ai.' || name) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE TABLE ai.%I PARTITION OF ai.detections FOR VALUES FROM (%L) TO (%L)', name,
                           month::timestamp AT TIME ZONE 'UTC',
                           (month + interval '1 month') AT TIME ZONE 'UTC');
        EXCEPTION WHEN check_violation THEN
            RAISE WARNING 'ai.%: rows of this month are in ai.detections_other', name;
        END;
    END LOOP;
END $$;

CREATE TABLE ai.alternatives (
    box_id       uuid NOT NULL,
    epoch        bigint NOT NULL,
    seq          bigint NOT NULL,
    rank         integer NOT NULL,
    detection_id uuid NOT NULL,
    text         text NOT NULL,
    p            double precision NOT NULL,
    PRIMARY KEY (box_id, epoch, seq, rank)
);
CREATE INDEX alternatives_detection ON ai.alternatives (detection_id);
CREATE INDEX alternatives_plate_key ON ai.alternatives (ai.plate_key(text));

CREATE TABLE ai.alerts (
    box_id       uuid NOT NULL,
    epoch        bigint NOT NULL,
    seq          bigint NOT NULL,
    id           text NOT NULL,
    rule         text NOT NULL,
    severity     text NOT NULL,
    camera       text,
    detection_id uuid,
    plate        text,
    message      text NOT NULL,
    raised_at    timestamptz NOT NULL,
    PRIMARY KEY (box_id, epoch, seq)
);
CREATE INDEX alerts_time ON ai.alerts (raised_at);

CREATE FUNCTION sync.detection_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF ai.detections LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id::uuid, b->>'camera', b->>'plate', b->>'layout', (b->>'confidence')::float8,
           sync.at_us((b->>'first_seen_us')::bigint), sync.at_us((b->>'last_seen_us')::bigint),
           sync.at_us((b->>'best_at_us')::bigint), b->'quad', b->'bbox', (b->>'frame_width')::integer,
           (b->>'frame_height')::integer, b->>'direction', (b->>'reads')::bigint,
           coalesce((b->>'single')::boolean, false), nullif(b->'slots', 'null'::jsonb),
           crop->>'bucket', crop->>'key', b->>'crop', frame->>'bucket', frame->>'key', b->>'frame'
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'detection'),
         LATERAL (SELECT sync.object_of(objects, b->>'crop') AS crop, sync.object_of(objects, b->>'frame') AS frame) named
$$;

CREATE FUNCTION sync.alternative_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF ai.alternatives LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, rank::integer, id::uuid, a->>'text', (a->>'p')::float8
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'detection'),
         LATERAL jsonb_array_elements(coalesce(b->'alternatives', '[]')) WITH ORDINALITY AS listed (a, rank)
$$;

CREATE FUNCTION sync.alert_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF ai.alerts LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, b->>'rule', b->>'severity', b->>'camera', (b->>'detection')::uuid, b->>'plate',
           b->>'message', sync.at_us((b->>'raised_at_us')::bigint)
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'alert')
$$;
