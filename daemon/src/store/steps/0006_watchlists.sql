-- Lists of vehicles somebody looks for, what they raise, and to whom it still has to be told.
DROP TABLE watches;

CREATE TABLE watchlists (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    severity TEXT NOT NULL,
    reason TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    -- Kept beside the rows, because counting a million of them for a list of lists is too slow.
    entries INTEGER NOT NULL DEFAULT 0 CHECK (entries >= 0),
    -- The number of the newest import; what an import that replaces has not touched goes.
    imports INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT;

CREATE TABLE watch_entries (
    list INTEGER NOT NULL REFERENCES watchlists (n) ON DELETE CASCADE,
    plate TEXT NOT NULL,
    -- Base 37; the same for both spellings of a Brazilian plate.
    vehicle INTEGER NOT NULL,
    reason TEXT NOT NULL,
    valid_from INTEGER,
    valid_until INTEGER,
    import INTEGER NOT NULL,
    PRIMARY KEY (list, plate)
) STRICT, WITHOUT ROWID;
CREATE INDEX watch_entries_vehicle ON watch_entries (vehicle);

-- The newest alert of a vehicle at a camera: while it is young, further passages are counted there.
CREATE TABLE watch_recent (
    list INTEGER NOT NULL REFERENCES watchlists (n) ON DELETE CASCADE,
    vehicle INTEGER NOT NULL,
    camera TEXT NOT NULL,
    alert TEXT NOT NULL,
    since INTEGER NOT NULL,
    -- 1: an alternative reading only; 2: the reading itself.
    strength INTEGER NOT NULL,
    PRIMARY KEY (list, vehicle, camera)
) STRICT, WITHOUT ROWID;

-- One row an alert and receiver until it is told or given up.
CREATE TABLE alert_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    alert TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    queued_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX alert_deliveries_target ON alert_deliveries (target, id);
CREATE INDEX alert_deliveries_alert ON alert_deliveries (alert);

CREATE TABLE alert_targets (
    name TEXT PRIMARY KEY,
    delivered INTEGER NOT NULL DEFAULT 0,
    given_up INTEGER NOT NULL DEFAULT 0,
    delivered_at INTEGER,
    error TEXT,
    error_at INTEGER
) STRICT, WITHOUT ROWID;

-- Whole readings as numbers, for the search of a plate with its neighbors.
CREATE TABLE detection_words (
    word INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (word, n)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO detection_words
    SELECT w.value, d.n FROM detections d, json_each(plate_keys(d.search)) w;
