-- Detections by day and tenant: one row a passage, with everything it can be found by, so that a batch is one COPY.

-- The batch's transaction holds the chain's row; a check of it for each record cost more than the record.
ALTER TABLE sync.records DROP CONSTRAINT records_box_id_epoch_fkey;

-- The tenant a box belongs to; rows keep the one they were stored for.
CREATE FUNCTION sync.tenant_of(p_box uuid) RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT prefeitura_id FROM cidades.boxes WHERE id = p_box $$;

-- What two plates share that a reader, or a person at night, takes for each other: both layouts of one vehicle, and
-- characters that look alike (O Q D 0, I L 1, Z 2, S 5, G 6, B 8).
CREATE FUNCTION ai.search_key(plate text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT translate(ai.plate_key(plate), 'OQDILZSGB', '000112568') $$;

CREATE FUNCTION ai.search_keys(plate text, alternatives jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(DISTINCT key ORDER BY key) FROM (
        SELECT ai.search_key(plate) COLLATE "C" AS key
        UNION ALL SELECT ai.search_key(a->>'text') COLLATE "C" FROM jsonb_array_elements(coalesce(alternatives, '[]')) a
    ) readings
$$;

CREATE TEMP TABLE moved ON COMMIT DROP AS TABLE ai.detections;
DROP FUNCTION sync.detection_rows(uuid, bigint, bigint, bigint), sync.alternative_rows(uuid, bigint, bigint, bigint),
    ai.ensure_partitions(date, integer);
DROP TABLE ai.detections, ai.alternatives;

CREATE TABLE ai.detections (
    box_id        uuid NOT NULL,
    epoch         bigint NOT NULL,
    seq           bigint NOT NULL,
    prefeitura_id uuid NOT NULL,
    id            uuid NOT NULL,
    camera        text NOT NULL,
    plate         text NOT NULL,
    layout        text NOT NULL,
    category      text,
    confidence    real NOT NULL,
    -- As the box wrote them: [{"text", "p"}, ...].
    alternatives  jsonb NOT NULL,
    -- search_key of the plate and of each alternative.
    keys          text[] NOT NULL,
    first_seen    timestamptz NOT NULL,
    last_seen     timestamptz NOT NULL,
    best_at       timestamptz NOT NULL,
    -- x, y of the corners top-left, top-right, bottom-right, bottom-left; x1, y1, x2, y2.
    quad          real[] NOT NULL,
    bbox          real[] NOT NULL,
    frame_width   integer NOT NULL,
    frame_height  integer NOT NULL,
    direction     text,
    reads         bigint NOT NULL,
    single        boolean NOT NULL,
    crop_bucket   text,
    crop_key      text,
    crop_sha256   text,
    frame_bucket  text,
    frame_key     text,
    frame_sha256  text,
    PRIMARY KEY (box_id, epoch, seq, first_seen)
) PARTITION BY RANGE (first_seen);

-- Takes what no day was made for, such as a box whose clock started in 1970.
CREATE TABLE ai.detections_other PARTITION OF ai.detections DEFAULT;

CREATE INDEX detections_id ON ai.detections (id);
CREATE INDEX detections_camera_time ON ai.detections (box_id, camera, first_seen);
CREATE INDEX detections_tenant_time ON ai.detections (prefeitura_id, first_seen);
CREATE INDEX detections_keys ON ai.detections USING gin (keys);

-- Makes the partition of one UTC day; false if the default partition already holds rows of it: moving them is a
-- decision for a quiet hour, not for a service that has a batch in its hands.
CREATE FUNCTION ai.ensure_day(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    name text := 'detections_' || to_char(day, 'YYYYMMDD');
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
    EXECUTE format('ALTER TABLE ai.detections ATTACH PARTITION ai.%I FOR VALUES FROM (%L) TO (%L)', name,
                   day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    RETURN true;
EXCEPTION
WHEN duplicate_table OR unique_violation THEN
    -- Another service was faster, and what this session remembers of the catalog is older than that.
    RETURN true;
WHEN check_violation THEN
    RAISE WARNING 'ai.%: rows of this day are in ai.detections_other', name;
    RETURN false;
END $$;

SELECT ai.ensure_day(day) FROM (SELECT DISTINCT (first_seen AT TIME ZONE 'UTC')::date AS day FROM moved) days
WHERE day > current_date - 400 AND day <= current_date + 2;

-- The plates of a city, each once: what trigrams are looked up in. A superset of the plates in ai.detections.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE TABLE ai.plates (
    prefeitura_id uuid NOT NULL,
    plate         text NOT NULL,
    -- Last day on which a detection of it was stored.
    last_day      date NOT NULL,
    PRIMARY KEY (prefeitura_id, plate)
);
CREATE INDEX plates_trigrams ON ai.plates USING gin (plate gin_trgm_ops);

-- The centre writes these rows itself from the box's JSON; the function is the second opinion of the audit.
CREATE FUNCTION sync.detection_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF ai.detections LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, sync.tenant_of(box_id), id::uuid, b->>'camera', b->>'plate', b->>'layout',
           b->>'category', (b->>'confidence')::float8::real, coalesce(b->'alternatives', '[]'),
           ai.search_keys(b->>'plate', b->'alternatives'),
           sync.at_us((b->>'first_seen_us')::bigint), sync.at_us((b->>'last_seen_us')::bigint),
           sync.at_us((b->>'best_at_us')::bigint),
           ARRAY(SELECT v::float8::real FROM jsonb_array_elements(b->'quad') WITH ORDINALITY AS c (corner, n),
                        jsonb_array_elements_text(corner) WITH ORDINALITY AS x (v, m) ORDER BY n, m),
           ARRAY(SELECT v::float8::real FROM jsonb_array_elements_text(b->'bbox') WITH ORDINALITY AS x (v, n) ORDER BY n),
           (b->>'frame_width')::integer, (b->>'frame_height')::integer, b->>'direction', (b->>'reads')::bigint,
           coalesce((b->>'single')::boolean, false),
           crop->>'bucket', crop->>'key', b->>'crop', frame->>'bucket', frame->>'key', b->>'frame'
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'detection'),
         LATERAL (SELECT sync.object_of(objects, b->>'crop') AS crop, sync.object_of(objects, b->>'frame') AS frame) named
$$;

INSERT INTO ai.detections
SELECT f.* FROM sync.chains c, LATERAL sync.detection_rows(c.box_id, c.epoch, 1, c.seq) f
WHERE EXISTS (SELECT FROM moved m WHERE (m.box_id, m.epoch, m.seq) = (f.box_id, f.epoch, f.seq));
INSERT INTO ai.plates
SELECT prefeitura_id, plate, max(first_seen AT TIME ZONE 'UTC')::date FROM ai.detections GROUP BY 1, 2;

-- The other typed tables get their tenant as well.
ALTER TABLE ai.alerts ADD COLUMN prefeitura_id uuid;
ALTER TABLE streaming.recordings ADD COLUMN prefeitura_id uuid;
ALTER TABLE streaming.clips ADD COLUMN prefeitura_id uuid;
ALTER TABLE streaming.gaps ADD COLUMN prefeitura_id uuid;
ALTER TABLE streaming.tombstones ADD COLUMN prefeitura_id uuid;
UPDATE ai.alerts SET prefeitura_id = sync.tenant_of(box_id);
UPDATE streaming.recordings SET prefeitura_id = sync.tenant_of(box_id);
UPDATE streaming.clips SET prefeitura_id = sync.tenant_of(box_id);
UPDATE streaming.gaps SET prefeitura_id = sync.tenant_of(box_id);
UPDATE streaming.tombstones SET prefeitura_id = sync.tenant_of(box_id);
ALTER TABLE ai.alerts ALTER COLUMN prefeitura_id SET NOT NULL;
ALTER TABLE streaming.recordings ALTER COLUMN prefeitura_id SET NOT NULL;
ALTER TABLE streaming.clips ALTER COLUMN prefeitura_id SET NOT NULL;
ALTER TABLE streaming.gaps ALTER COLUMN prefeitura_id SET NOT NULL;
ALTER TABLE streaming.tombstones ALTER COLUMN prefeitura_id SET NOT NULL;

CREATE INDEX alerts_tenant_time ON ai.alerts (prefeitura_id, raised_at);
DROP INDEX ai.alerts_time;
CREATE INDEX alerts_text ON ai.alerts USING gin (to_tsvector('portuguese', message));

CREATE OR REPLACE FUNCTION sync.recording_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF streaming.recordings LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, b->>'camera', b->>'stream', sync.at_us((b->>'start_us')::bigint),
           sync.at_us((b->>'end_us')::bigint), (b->>'bytes')::bigint, (b->>'frames')::bigint, b->>'sha256', b->>'mime',
           o->>'bucket', o->>'key', sync.tenant_of(box_id)
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'recording'),
         LATERAL (SELECT sync.object_of(objects, b->>'object') AS o) named
$$;

CREATE OR REPLACE FUNCTION sync.clip_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF streaming.clips LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, (b->>'detection')::uuid, b->>'camera', b->>'stream',
           sync.at_us((b->>'start_us')::bigint), sync.at_us((b->>'end_us')::bigint), o->>'bucket', o->>'key',
           b->>'object', (o->>'bytes')::bigint, b->>'mime', b->>'unavailable', sync.tenant_of(box_id)
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'clip'),
         LATERAL (SELECT sync.object_of(objects, b->>'object') AS o) named
$$;

CREATE OR REPLACE FUNCTION sync.gap_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF streaming.gaps LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, b->>'camera', b->>'stream', sync.at_us((b->>'start_us')::bigint),
           sync.at_us((b->>'end_us')::bigint), b->>'reason', sync.tenant_of(box_id)
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'gap')
$$;

CREATE OR REPLACE FUNCTION sync.tombstone_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF streaming.tombstones LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, b->>'what', b->>'camera', b->>'stream', sync.at_us((b->>'start_us')::bigint),
           sync.at_us((b->>'end_us')::bigint), coalesce((b->>'bytes')::bigint, 0), b->>'sha256', b->>'reason',
           sync.at_us(created_at_us), sync.tenant_of(box_id)
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'tombstone')
$$;

CREATE OR REPLACE FUNCTION sync.alert_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF ai.alerts LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, b->>'rule', b->>'severity', b->>'camera', (b->>'detection')::uuid, b->>'plate',
           b->>'message', sync.at_us((b->>'raised_at_us')::bigint), sync.tenant_of(box_id)
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'alert')
$$;
