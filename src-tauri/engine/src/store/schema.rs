//! The form of the catalogue and the way from each earlier one to it.
//!
//! `user_version` counts the steps that were done. A step is never changed once it was released: a new
//! form is a new step.

use rusqlite::Connection;

use super::StoreError;

/// "NjCt": the file is ours.
const APPLICATION: i32 = 0x4e6a_4374;

/// Each is one transaction.
pub(super) const STEPS: [&str; 3] = [
    // 1: what the recorder writes.
    "CREATE TABLE segments (
         id BLOB PRIMARY KEY NOT NULL,
         camera TEXT NOT NULL,
         path TEXT NOT NULL UNIQUE,
         start_us INTEGER NOT NULL,
         end_us INTEGER NOT NULL,
         bytes INTEGER NOT NULL,
         state INTEGER NOT NULL,
         protected INTEGER NOT NULL,
         codec TEXT NOT NULL,
         width INTEGER NOT NULL,
         height INTEGER NOT NULL
     ) WITHOUT ROWID;
     CREATE INDEX segments_of_camera ON segments (camera, start_us);
     CREATE INDEX segments_by_start ON segments (start_us);
     CREATE INDEX segments_by_length ON segments (end_us - start_us);
     CREATE INDEX segments_that_may_go ON segments (start_us) WHERE protected = 0 AND state <> 0;
     CREATE INDEX segments_open ON segments (start_us) WHERE state = 0;
     CREATE TABLE gaps (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         camera TEXT NOT NULL,
         start_us INTEGER NOT NULL,
         end_us INTEGER,
         cause TEXT NOT NULL
     );
     CREATE INDEX gaps_of_camera ON gaps (camera, start_us);
     CREATE INDEX gaps_by_start ON gaps (start_us);
     CREATE INDEX gaps_open ON gaps (start_us) WHERE end_us IS NULL;",
    // 2: alerts; what each camera takes, counted by the database itself so that it cannot be forgotten.
    "CREATE TABLE alerts (
         id BLOB PRIMARY KEY NOT NULL,
         kind TEXT NOT NULL,
         camera TEXT,
         since_us INTEGER NOT NULL,
         until_us INTEGER,
         message TEXT NOT NULL,
         detail TEXT
     ) WITHOUT ROWID;
     CREATE INDEX alerts_by_time ON alerts (since_us);
     CREATE TABLE kept_paths (path TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;
     CREATE TABLE usage (
         camera TEXT PRIMARY KEY NOT NULL,
         bytes INTEGER NOT NULL,
         protected_bytes INTEGER NOT NULL,
         segments INTEGER NOT NULL
     ) WITHOUT ROWID;
     INSERT INTO usage SELECT camera, sum(bytes), sum(bytes * (protected <> 0)), count(*)
         FROM segments GROUP BY camera;
     CREATE TRIGGER segment_comes AFTER INSERT ON segments BEGIN
         INSERT INTO usage VALUES (new.camera, new.bytes, new.bytes * (new.protected <> 0), 1)
             ON CONFLICT (camera) DO UPDATE SET bytes = bytes + new.bytes,
                 protected_bytes = protected_bytes + new.bytes * (new.protected <> 0),
                 segments = segments + 1;
     END;
     CREATE TRIGGER segment_changes AFTER UPDATE OF bytes, protected ON segments BEGIN
         UPDATE usage SET bytes = bytes + new.bytes - old.bytes,
             protected_bytes = protected_bytes
                 + new.bytes * (new.protected <> 0) - old.bytes * (old.protected <> 0)
             WHERE camera = new.camera;
     END;
     CREATE TRIGGER segment_goes AFTER DELETE ON segments BEGIN
         UPDATE usage SET bytes = bytes - old.bytes,
             protected_bytes = protected_bytes - old.bytes * (old.protected <> 0),
             segments = segments - 1
             WHERE camera = old.camera;
     END;",
    // 3: the disk that a recording lies on, and a gap is about; '' is the main root's. SQLite cannot take back that
    // a path is unique: the table is made anew.
    "CREATE TABLE segments_3 (
         id BLOB PRIMARY KEY NOT NULL,
         camera TEXT NOT NULL,
         disk TEXT NOT NULL,
         path TEXT NOT NULL,
         start_us INTEGER NOT NULL,
         end_us INTEGER NOT NULL,
         bytes INTEGER NOT NULL,
         state INTEGER NOT NULL,
         protected INTEGER NOT NULL,
         codec TEXT NOT NULL,
         width INTEGER NOT NULL,
         height INTEGER NOT NULL,
         UNIQUE (disk, path)
     ) WITHOUT ROWID;
     INSERT INTO segments_3 SELECT id, camera, '', path, start_us, end_us, bytes, state, protected, codec,
         width, height FROM segments;
     DROP TABLE segments;
     ALTER TABLE segments_3 RENAME TO segments;
     CREATE INDEX segments_of_camera ON segments (camera, start_us);
     CREATE INDEX segments_of_camera_on_disk ON segments (camera, disk, start_us);
     CREATE INDEX segments_by_start ON segments (start_us);
     CREATE INDEX segments_by_length ON segments (end_us - start_us);
     CREATE INDEX segments_that_may_go ON segments (disk, start_us) WHERE protected = 0 AND state <> 0;
     CREATE INDEX segments_open ON segments (disk, start_us) WHERE state = 0;
     ALTER TABLE gaps ADD COLUMN disk TEXT NOT NULL DEFAULT '';
     ALTER TABLE kept_paths RENAME TO kept_paths_2;
     CREATE TABLE kept_paths (disk TEXT NOT NULL, path TEXT NOT NULL, PRIMARY KEY (disk, path)) WITHOUT ROWID;
     INSERT INTO kept_paths SELECT '', path FROM kept_paths_2;
     DROP TABLE kept_paths_2;
     DROP TABLE usage;
     CREATE TABLE usage (
         camera TEXT NOT NULL,
         disk TEXT NOT NULL,
         bytes INTEGER NOT NULL,
         protected_bytes INTEGER NOT NULL,
         segments INTEGER NOT NULL,
         PRIMARY KEY (camera, disk)
     ) WITHOUT ROWID;
     INSERT INTO usage SELECT camera, disk, sum(bytes), sum(bytes * (protected <> 0)), count(*)
         FROM segments GROUP BY camera, disk;
     CREATE TRIGGER segment_comes AFTER INSERT ON segments BEGIN
         INSERT INTO usage VALUES (new.camera, new.disk, new.bytes, new.bytes * (new.protected <> 0), 1)
             ON CONFLICT (camera, disk) DO UPDATE SET bytes = bytes + new.bytes,
                 protected_bytes = protected_bytes + new.bytes * (new.protected <> 0),
                 segments = segments + 1;
     END;
     CREATE TRIGGER segment_changes AFTER UPDATE OF bytes, protected ON segments BEGIN
         UPDATE usage SET bytes = bytes + new.bytes - old.bytes,
             protected_bytes = protected_bytes
                 + new.bytes * (new.protected <> 0) - old.bytes * (old.protected <> 0)
             WHERE camera = new.camera AND disk = new.disk;
     END;
     CREATE TRIGGER segment_moves AFTER UPDATE OF camera, disk ON segments BEGIN
         UPDATE usage SET bytes = bytes - old.bytes,
             protected_bytes = protected_bytes - old.bytes * (old.protected <> 0),
             segments = segments - 1
             WHERE camera = old.camera AND disk = old.disk;
         INSERT INTO usage VALUES (new.camera, new.disk, new.bytes, new.bytes * (new.protected <> 0), 1)
             ON CONFLICT (camera, disk) DO UPDATE SET bytes = bytes + new.bytes,
                 protected_bytes = protected_bytes + new.bytes * (new.protected <> 0),
                 segments = segments + 1;
     END;
     CREATE TRIGGER segment_goes AFTER DELETE ON segments BEGIN
         UPDATE usage SET bytes = bytes - old.bytes,
             protected_bytes = protected_bytes - old.bytes * (old.protected <> 0),
             segments = segments - 1
             WHERE camera = old.camera AND disk = old.disk;
     END;",
];

/// Does the steps that are missing.
pub(super) fn bring_up_to_date(connection: &mut Connection) -> Result<(), StoreError> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    match (application, done) {
        (APPLICATION, done) if done > STEPS.len() => return Err(StoreError::Newer(version)),
        (APPLICATION, _) | (0, 0) => {}
        _ => return Err(StoreError::Damaged("it is not a catalogue of Nightjar".to_owned())),
    }
    let _mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    for (number, step) in (1_i32..).zip(STEPS).skip(done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}
