-- Recorded segments, clips, gaps and evictions.
CREATE SCHEMA streaming;

CREATE TABLE streaming.recordings (
    box_id     uuid NOT NULL,
    epoch      bigint NOT NULL,
    seq        bigint NOT NULL,
    id         text NOT NULL,
    camera     text NOT NULL,
    stream     text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    bytes      bigint NOT NULL,
    frames     bigint NOT NULL,
    sha256     text NOT NULL,
    mime       text,
    -- Set when the segment was also uploaded.
    bucket     text,
    key        text,
    PRIMARY KEY (box_id, epoch, seq)
);
CREATE INDEX recordings_time ON streaming.recordings (box_id, camera, stream, started_at);

CREATE TABLE streaming.clips (
    box_id       uuid NOT NULL,
    epoch        bigint NOT NULL,
    seq          bigint NOT NULL,
    id           text NOT NULL,
    detection_id uuid,
    camera       text NOT NULL,
    stream       text NOT NULL,
    started_at   timestamptz NOT NULL,
    ended_at     timestamptz NOT NULL,
    bucket       text,
    key          text,
    sha256       text,
    bytes        bigint,
    mime         text,
    -- Why there is no video, if there is none.
    unavailable  text,
    PRIMARY KEY (box_id, epoch, seq)
);
CREATE INDEX clips_detection ON streaming.clips (detection_id);

CREATE TABLE streaming.gaps (
    box_id     uuid NOT NULL,
    epoch      bigint NOT NULL,
    seq        bigint NOT NULL,
    id         text NOT NULL,
    camera     text NOT NULL,
    stream     text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    reason     text NOT NULL,
    PRIMARY KEY (box_id, epoch, seq)
);
CREATE INDEX gaps_time ON streaming.gaps (box_id, camera, stream, started_at);

CREATE TABLE streaming.tombstones (
    box_id     uuid NOT NULL,
    epoch      bigint NOT NULL,
    seq        bigint NOT NULL,
    id         text NOT NULL,
    what       text NOT NULL,
    camera     text,
    stream     text,
    started_at timestamptz,
    ended_at   timestamptz,
    bytes      bigint NOT NULL,
    sha256     text,
    reason     text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (box_id, epoch, seq)
);

CREATE FUNCTION sync.recording_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF streaming.recordings LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, b->>'camera', b->>'stream', sync.at_us((b->>'start_us')::bigint),
           sync.at_us((b->>'end_us')::bigint), (b->>'bytes')::bigint, (b->>'frames')::bigint, b->>'sha256', b->>'mime',
           o->>'bucket', o->>'key'
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'recording'),
         LATERAL (SELECT sync.object_of(objects, b->>'object') AS o) named
$$;

CREATE FUNCTION sync.clip_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF streaming.clips LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, (b->>'detection')::uuid, b->>'camera', b->>'stream',
           sync.at_us((b->>'start_us')::bigint), sync.at_us((b->>'end_us')::bigint), o->>'bucket', o->>'key',
           b->>'object', (o->>'bytes')::bigint, b->>'mime', b->>'unavailable'
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'clip'),
         LATERAL (SELECT sync.object_of(objects, b->>'object') AS o) named
$$;

CREATE FUNCTION sync.gap_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF streaming.gaps LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, b->>'camera', b->>'stream', sync.at_us((b->>'start_us')::bigint),
           sync.at_us((b->>'end_us')::bigint), b->>'reason'
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'gap')
$$;

CREATE FUNCTION sync.tombstone_rows(p_box uuid, p_epoch bigint, p_from bigint, p_to bigint)
RETURNS SETOF streaming.tombstones LANGUAGE sql STABLE AS $$
    SELECT box_id, epoch, seq, id, b->>'what', b->>'camera', b->>'stream', sync.at_us((b->>'start_us')::bigint),
           sync.at_us((b->>'end_us')::bigint), coalesce((b->>'bytes')::bigint, 0), b->>'sha256', b->>'reason',
           sync.at_us(created_at_us)
    FROM sync.bodies(p_box, p_epoch, p_from, p_to, 'tombstone')
$$;
