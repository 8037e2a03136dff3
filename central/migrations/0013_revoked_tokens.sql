-- Tokens of the read API that count no more although they have not expired; rows go when the token would have.
CREATE TABLE admin.revoked_tokens (
    sha256     bytea PRIMARY KEY,
    subject    text NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz NOT NULL DEFAULT now()
);
