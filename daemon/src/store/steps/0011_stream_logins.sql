-- Who reads the cameras by RTSP: a name, the cameras, and what proves its password.
CREATE TABLE stream_logins (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- JSON array of camera ids; null: all of them.
    cameras TEXT,
    -- HA1 of RTSP Digest, sealed with the key of the box.
    proof TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
