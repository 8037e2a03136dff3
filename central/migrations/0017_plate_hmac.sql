-- The plate that was asked for as an HMAC under the secret of the API: the plain SHA-256 of seven characters is found by
-- trying all plates. What is in plate_sha256 stays for the questions of before; nothing is written there any more.
ALTER TABLE admin.accesses ADD COLUMN plate_hmac text;
