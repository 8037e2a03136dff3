-- The coverage ledger: hour by hour what should have been recorded, what was, and what was deleted since (R4, R5).
CREATE TABLE coverage (
    camera TEXT NOT NULL,
    stream TEXT NOT NULL,
    -- Start of the hour.
    hour INTEGER NOT NULL,
    expected_us INTEGER NOT NULL DEFAULT 0,
    stored_us INTEGER NOT NULL DEFAULT 0,
    evicted_us INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    -- Judged, and told to the centre.
    closed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (camera, stream, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX coverage_hour ON coverage (hour);
CREATE INDEX coverage_open ON coverage (hour) WHERE closed = 0;

-- Streams that are to be recorded: since when without a break, and up to when the ledger says so.
CREATE TABLE coverage_streams (
    camera TEXT NOT NULL,
    stream TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (camera, stream)
) STRICT, WITHOUT ROWID;

-- What is there already; what had been expected of it is not known.
INSERT INTO coverage (camera, stream, hour, stored_us, bytes, closed)
    SELECT camera, stream, hour, sum(us), sum(bytes), 1 FROM (
        SELECT s.camera, s.stream, f.start - f.start % 3600000000 AS hour,
            min(f.start + f.duration_us, f.start - f.start % 3600000000 + 3600000000) - f.start AS us, f.bytes
        FROM segments s JOIN fragments f ON f.segment_id = s.id
        UNION ALL
        SELECT s.camera, s.stream, f.start - f.start % 3600000000 + 3600000000,
            (f.start + f.duration_us) % 3600000000, 0
        FROM segments s JOIN fragments f ON f.segment_id = s.id
        WHERE (f.start + f.duration_us) / 3600000000 > f.start / 3600000000
            AND (f.start + f.duration_us) % 3600000000 > 0
    ) GROUP BY camera, stream, hour;

-- Spans that somebody wants kept: nothing in them is evicted.
CREATE TABLE locks (
    id TEXT PRIMARY KEY,
    camera TEXT NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL CHECK ("end" > start),
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX locks_camera ON locks (camera, start);
