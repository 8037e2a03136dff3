-- What each clock said at the first frame of a file: JSON, see base/clocks.rs. Absent in files written before.
ALTER TABLE segments ADD COLUMN clocks TEXT;
