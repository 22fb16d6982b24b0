//! The catalogue of what was recorded: segments, the gaps between them, and alerts, in one SQLite file.
//!
//! Invariants: what a call answered with `Ok` survives the end of the process, however it comes; a power
//! cut may cost the newest calls, never the file. Days are found in a year of cameras without a walk over
//! the year. The files are the truth: a catalogue that is damaged is moved aside, and whoever opened it
//! fills the new one from the files. Calls block, a reader never waits for a writer. The catalogue
//! touches no footage and knows neither recorder nor doors.

mod disks;
pub mod keepsake;
mod rows;
mod salvage;
mod schema;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, params};
use uuid::Uuid;

pub use disks::{Disks, MAIN};
pub use rows::{
    AlertRow, FoundSegment, GapRow, Micros, NewSegment, Query, SegmentRow, SegmentState, Usage, micros, wall,
};

/// A connection waits so long for the other's lock; WAL needs it for moments only.
const BUSY: Duration = Duration::from_secs(5);
/// Gaps that are kept: sixteen cameras that are lost twice an hour fill it in four months.
const GAPS_MAX: i64 = 100_000;
/// Alerts that are kept; the oldest go.
const ALERTS_MAX: u32 = 10_000;
/// Alerts that are over are kept no longer than this behind the newest one: ninety days.
const ALERTS_AGE: Micros = 90 * 24 * 3_600 * 1_000_000;
/// The oldest recording of a disk that may go. None ends before it begins: what is too young is not looked at.
const OLDEST: &str =
    "SELECT * FROM segments WHERE disk = ?1 AND protected = 0 AND state <> 0 AND start_us > ?2 AND start_us < ?3
     AND end_us < ?3 ORDER BY start_us, id LIMIT 1";
const USAGE: &str = "SELECT camera, disk, bytes, protected_bytes,
         (SELECT min(start_us) FROM segments s WHERE s.camera = u.camera AND s.disk = u.disk),
         (SELECT max(start_us) FROM segments s WHERE s.camera = u.camera AND s.disk = u.disk),
         segments
     FROM usage u WHERE segments > 0 ORDER BY camera, disk";
const USAGE_OF: &str = "SELECT camera, disk, bytes, protected_bytes,
         (SELECT min(start_us) FROM segments s WHERE s.camera = u.camera AND s.disk = u.disk),
         (SELECT max(start_us) FROM segments s WHERE s.camera = u.camera AND s.disk = u.disk),
         segments
     FROM usage u WHERE camera = ?1 AND segments > 0 ORDER BY disk";
const OLDEST_OF: &str = "SELECT * FROM segments INDEXED BY segments_of_camera_on_disk
     WHERE camera = ?1 AND disk = ?2 AND protected = 0 AND state <> 0 AND start_us > ?3
     ORDER BY start_us, id LIMIT 1";

/// The catalogue cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the catalogue {} cannot be used: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The next [`Catalogue::open`] moves it aside.
    #[error("the catalogue is damaged: {0}")]
    Damaged(String),
    #[error("the catalogue comes from a newer version of Nightjar ({0})")]
    Newer(i32),
    #[error("the catalogue has no recording {0}")]
    Unknown(Uuid),
    #[error("the catalogue: {0}")]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Sqlite(error),
        }
    }
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

/// How the catalogue was found. In the latter two cases it is empty and wants to be filled from the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    Existing,
    Fresh,
    /// The damaged one lies at `aside` now. What could still be read of alerts is in the new one, and
    /// what was protected is protected again once its file is found.
    Damaged {
        aside: PathBuf,
    },
}

/// The catalogue. Shared by reference; calls may come from any thread that may block.
#[derive(Debug)]
pub struct Catalogue {
    path: PathBuf,
    /// Goes first: the last one to go clears the log, and must be able to write.
    reading: Mutex<Connection>,
    writing: Arc<Mutex<Connection>>,
}

/// A file in the root of the recordings: it tells the disk from an empty mount point.
pub const MARKER: &str = ".nightjar";

impl Catalogue {
    /// Opens the catalogue, brings it to the present form, or makes it.
    ///
    /// # Errors
    /// [`StoreError::Newer`] where a newer Nightjar wrote it: it is left alone then. [`StoreError::Io`]
    /// where the place cannot be used.
    pub fn open(path: &Path) -> Result<(Self, Opened)> {
        let there = match fs::metadata(path) {
            Ok(file) => file.len() > 0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(StoreError::Io { path: path.to_owned(), source }),
        };
        match Self::try_open(path, there) {
            Ok(catalogue) if there => Ok((catalogue, Opened::Existing)),
            Ok(catalogue) => Ok((catalogue, Opened::Fresh)),
            Err(StoreError::Damaged(_)) => {
                let aside = salvage::move_aside(path)?;
                let catalogue = Self::try_open(path, false)?;
                catalogue.salvage(&aside);
                Ok((catalogue, Opened::Damaged { aside }))
            }
            Err(error) => Err(error),
        }
    }

    fn try_open(path: &Path, there: bool) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut writing = connect(path, OpenFlags::SQLITE_OPEN_NO_MUTEX | flags)?;
        if there {
            // Not the whole of `integrity_check`: indexes that disagree would cost a second a year.
            let said: String = writing.pragma_query_value(None, "quick_check", |row| row.get(0))?;
            if said != "ok" {
                return Err(StoreError::Damaged(said));
            }
        }
        schema::bring_up_to_date(&mut writing)?;
        let (path, writing) = (path.to_owned(), Arc::new(Mutex::new(writing)));
        Ok(Self { reading: Mutex::new(read_only(&path)?), path, writing })
    }

    /// The same catalogue, with a way to read it that is its own: whoever must not wait while somebody lists a year
    /// has one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn beside(&self) -> Result<Self> {
        let (path, writing) = (self.path.clone(), Arc::clone(&self.writing));
        Ok(Self { reading: Mutex::new(read_only(&path)?), path, writing })
    }

    /// A recording begins.
    ///
    /// # Errors
    /// Where its id or path is there already, and [`StoreError`].
    pub fn segment_opened(&self, new: &NewSegment) -> Result<()> {
        self.write(
            "INSERT INTO segments
                 (id, camera, disk, path, start_us, end_us, bytes, state, protected, codec, width, height)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, 0, 0, 0, ?6, ?7, ?8)",
            params![
                new.id.as_bytes(),
                new.camera,
                new.disk,
                new.path,
                new.start_us,
                new.codec,
                new.width,
                new.height
            ],
        )?;
        Ok(())
    }

    /// Recordings that are being written reach to there now, with so many bytes. Meant for about once a second:
    /// one transaction for all of them costs hardly more than one of them.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for the first that there is not; the others are noted.
    pub fn segments_grew(&self, grown: &[(Uuid, Micros, u64)]) -> Result<()> {
        let connection = self.writing();
        let transaction = connection.unchecked_transaction()?;
        let mut unknown = None;
        {
            let mut update = transaction
                .prepare_cached("UPDATE segments SET end_us = max(start_us, ?2), bytes = ?3 WHERE id = ?1")?;
            for (id, end_us, bytes) in grown {
                if update.execute(params![id.as_bytes(), end_us, signed(*bytes)])? == 0 {
                    unknown.get_or_insert(*id);
                }
            }
        }
        transaction.commit()?;
        unknown.map_or(Ok(()), |id| Err(StoreError::Unknown(id)))
    }

    /// A recording is complete.
    ///
    /// # Errors
    /// [`StoreError::Unknown`].
    pub fn segment_closed(&self, id: Uuid, state: SegmentState, end_us: Micros, bytes: u64) -> Result<()> {
        let changed = self.write(
            "UPDATE segments SET end_us = max(start_us, ?2), bytes = ?3, state = ?4 WHERE id = ?1",
            params![id.as_bytes(), end_us, signed(bytes), state.number()],
        )?;
        known(changed, id)
    }

    /// A recording's file is gone.
    ///
    /// # Errors
    /// [`StoreError::Unknown`].
    pub fn segment_removed(&self, id: Uuid) -> Result<()> {
        let changed = self.write("DELETE FROM segments WHERE id = ?1", params![id.as_bytes()])?;
        known(changed, id)
    }

    /// Takes in files that were found on the disk, all or none. Those whose path is known are left as they
    /// are. Answers how many were new.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn segments_found(&self, found: &[FoundSegment]) -> Result<usize> {
        let connection = self.writing();
        let transaction = connection.unchecked_transaction()?;
        let mut new = 0;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR IGNORE INTO segments
                     (id, camera, disk, path, start_us, end_us, bytes, state, protected, codec, width, height)
                 VALUES (?1, ?2, ?3, ?4, ?5, max(?5, ?6), ?7, ?8,
                         ?9 OR EXISTS (SELECT 1 FROM kept_paths WHERE disk = ?3 AND path = ?4), ?10, ?11, ?12)",
            )?;
            for FoundSegment { segment, end_us, bytes, state, protected } in found {
                new += insert.execute(params![
                    segment.id.as_bytes(),
                    segment.camera,
                    segment.disk,
                    segment.path,
                    segment.start_us,
                    end_us,
                    signed(*bytes),
                    state.number(),
                    protected,
                    segment.codec,
                    segment.width,
                    segment.height
                ])?;
            }
        }
        transaction.commit()?;
        Ok(new)
    }

    /// Recordings that overlap the span, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn segments(&self, query: Query<'_>) -> Result<Vec<SegmentRow>> {
        self.first_segments(query, usize::MAX)
    }

    /// The same, and no more than so many: whoever lists asks for one more than is wanted, to see that there are more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn first_segments(&self, query: Query<'_>, most: usize) -> Result<Vec<SegmentRow>> {
        // A segment that reaches into the span began at most the longest segment's length before it. The
        // longest is one look at an index.
        self.rows(
            "SELECT id, camera, disk, path, start_us, end_us, bytes, state, protected, codec, width, height
             FROM segments
             WHERE camera = ?1 AND start_us < ?3 AND end_us > ?2
               AND start_us >= ?2 - (SELECT ifnull(max(end_us - start_us), 0) FROM segments)
             ORDER BY start_us, id LIMIT ?4",
            "SELECT id, camera, disk, path, start_us, end_us, bytes, state, protected, codec, width, height
             FROM segments
             WHERE start_us < ?2 AND end_us > ?1
               AND start_us >= ?1 - (SELECT ifnull(max(end_us - start_us), 0) FROM segments)
             ORDER BY start_us, id LIMIT ?3",
            query,
            most,
            rows::segment,
        )
    }

    /// A camera's newest recording that began before a time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest_before(&self, camera: &str, before_us: Micros) -> Result<Option<SegmentRow>> {
        self.one(
            "SELECT * FROM segments WHERE camera = ?1 AND start_us < ?2 ORDER BY start_us DESC LIMIT 1",
            params![camera, before_us],
            rows::segment,
        )
    }

    /// One recording.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn segment(&self, id: Uuid) -> Result<Option<SegmentRow>> {
        self.one("SELECT * FROM segments WHERE id = ?1", params![id.as_bytes()], rows::segment)
    }

    /// The recording in the file of this path of a disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn segment_at(&self, disk: &str, path: &str) -> Result<Option<SegmentRow>> {
        let sql = "SELECT * FROM segments WHERE disk = ?1 AND path = ?2";
        self.one(sql, params![disk, path], rows::segment)
    }

    /// A recording's file lies there now: somebody moved it, or gave its disk another name.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]; where another recording is known to lie there.
    pub fn segment_moved(&self, id: Uuid, camera: &str, disk: &str, path: &str) -> Result<()> {
        let changed = self.write(
            "UPDATE segments SET camera = ?2, disk = ?3, path = ?4 WHERE id = ?1",
            params![id.as_bytes(), camera, disk, path],
        )?;
        known(changed, id)
    }

    /// What an earlier run left open on a disk, or this one writes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_segments(&self, disk: &str) -> Result<Vec<SegmentRow>> {
        let sql = "SELECT * FROM segments WHERE disk = ?1 AND state = 0 ORDER BY start_us, id";
        self.many(sql, [disk], rows::segment)
    }

    /// The oldest complete recording of a disk that is not protected and began after `after_us`; with
    /// `before_us`, only where it ended before that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn oldest_unprotected(
        &self,
        disk: &str,
        after_us: Micros,
        before_us: Option<Micros>,
    ) -> Result<Option<SegmentRow>> {
        self.one(OLDEST, params![disk, after_us, before_us.unwrap_or(Micros::MAX)], rows::segment)
    }

    /// The same for one camera, whenever it ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn oldest_unprotected_of(
        &self,
        camera: &str,
        disk: &str,
        after_us: Micros,
    ) -> Result<Option<SegmentRow>> {
        self.one(OLDEST_OF, params![camera, disk, after_us], rows::segment)
    }

    /// Protects a recording from being cleaned away, or no more. Answers whether that changed anything.
    ///
    /// # Errors
    /// [`StoreError::Unknown`].
    pub fn protect(&self, id: Uuid, on: bool) -> Result<bool> {
        let changed = self.write(
            "UPDATE segments SET protected = ?2 WHERE id = ?1 AND protected <> ?2",
            params![id.as_bytes(), on],
        )?;
        if changed == 0 && self.segment(id)?.is_none() {
            return Err(StoreError::Unknown(id));
        }
        Ok(changed > 0)
    }

    /// What one camera's recordings take on each disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn usage_of(&self, camera: &str) -> Result<Vec<Usage>> {
        self.many(USAGE_OF, [camera], rows::usage)
    }

    /// What each camera's recordings take on each disk, in the order of the cameras' ids and the disks' names.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn usage(&self) -> Result<Vec<Usage>> {
        self.many(USAGE, [], rows::usage)
    }

    /// Nothing is recorded from here on, on which disk it was to be, and why (`cause` is a code such as `stalled`).
    /// Answers its number. Those that are over go when a hundred thousand newer ones were noted, whatever
    /// their cameras.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn gap(
        &self,
        camera: &str,
        disk: &str,
        start_us: Micros,
        end_us: Option<Micros>,
        cause: &str,
    ) -> Result<i64> {
        let connection = self.writing();
        connection
            .prepare_cached(
                "INSERT INTO gaps (camera, start_us, end_us, cause, disk) VALUES (?1, ?2, max(?2, ?3), ?4, ?5)",
            )?
            .execute(params![camera, start_us, end_us, cause, disk])?;
        let id = connection.last_insert_rowid();
        connection
            .prepare_cached("DELETE FROM gaps WHERE id <= ?1 AND end_us IS NOT NULL")?
            .execute([id.saturating_sub(GAPS_MAX)])?;
        Ok(id)
    }

    /// A gap is over. One that is not known is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn gap_closed(&self, id: i64, end_us: Micros) -> Result<()> {
        self.write("UPDATE gaps SET end_us = max(start_us, ?2) WHERE id = ?1", params![id, end_us])?;
        Ok(())
    }

    /// Gaps that overlap the span, oldest first. An open one reaches without end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn gaps(&self, query: Query<'_>) -> Result<Vec<GapRow>> {
        self.first_gaps(query, usize::MAX)
    }

    /// The same, and no more than so many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn first_gaps(&self, query: Query<'_>, most: usize) -> Result<Vec<GapRow>> {
        self.rows(
            "SELECT id, camera, start_us, end_us, cause, disk FROM gaps
             WHERE camera = ?1 AND start_us < ?3 AND ifnull(end_us, 9223372036854775807) > max(?2, start_us)
             ORDER BY start_us, id LIMIT ?4",
            "SELECT id, camera, start_us, end_us, cause, disk FROM gaps
             WHERE start_us < ?2 AND ifnull(end_us, 9223372036854775807) > max(?1, start_us)
             ORDER BY start_us, id LIMIT ?3",
            query,
            most,
            rows::gap,
        )
    }

    /// Gaps without an end: an earlier run's at the start of the program.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_gaps(&self) -> Result<Vec<GapRow>> {
        let sql = "SELECT id, camera, start_us, end_us, cause, disk FROM gaps WHERE end_us IS NULL";
        self.many(sql, [], rows::gap)
    }

    /// Forgets gaps that ended before a time, of one camera or of all: there is nothing left around them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_gaps(&self, camera: Option<&str>, before_us: Micros) -> Result<usize> {
        match camera {
            Some(camera) => self.write(
                "DELETE FROM gaps WHERE camera = ?1 AND start_us < ?2 AND end_us < ?2",
                params![camera, before_us],
            ),
            None => self.write("DELETE FROM gaps WHERE start_us < ?1 AND end_us < ?1", params![before_us]),
        }
    }

    /// Adds an alert, or renews the one of that id. The oldest beyond ten thousand go, and those that were
    /// over ninety days before it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_alert(&self, alert: &AlertRow) -> Result<()> {
        let AlertRow { id, kind, camera, since_us, until_us, message, detail } = alert;
        let connection = self.writing();
        let transaction = connection.unchecked_transaction()?;
        transaction
            .prepare_cached(
                "INSERT INTO alerts (id, kind, camera, since_us, until_us, message, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (id) DO UPDATE SET kind = ?2, camera = ?3, since_us = ?4, until_us = ?5,
                     message = ?6, detail = ?7",
            )?
            .execute(params![id.as_bytes(), kind, camera, since_us, until_us, message, detail])?;
        transaction
            .prepare_cached(
                "DELETE FROM alerts WHERE id IN
                     (SELECT id FROM alerts ORDER BY since_us DESC, id DESC LIMIT -1 OFFSET ?1)",
            )?
            .execute([ALERTS_MAX])?;
        transaction
            .prepare_cached("DELETE FROM alerts WHERE since_us < ?1 AND until_us < ?1")?
            .execute([since_us.saturating_sub(ALERTS_AGE)])?;
        transaction.commit()?;
        Ok(())
    }

    /// The newest alerts, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn alerts(&self, newest: u32) -> Result<Vec<AlertRow>> {
        self.many(
            "SELECT id, kind, camera, since_us, until_us, message, detail FROM alerts
             ORDER BY since_us DESC, id DESC LIMIT ?1",
            [newest],
            rows::alert,
        )
    }

    /// Alerts that began in the span, oldest first: those of the camera, and those that are not one camera's,
    /// whose details say whom they are about.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn alerts_between(&self, query: Query<'_>) -> Result<Vec<AlertRow>> {
        self.rows(
            "SELECT id, kind, camera, since_us, until_us, message, detail FROM alerts
             WHERE since_us >= ?2 AND since_us < ?3 AND (camera = ?1 OR camera IS NULL)
             ORDER BY since_us, id LIMIT ?4",
            "SELECT id, kind, camera, since_us, until_us, message, detail FROM alerts
             WHERE since_us >= ?1 AND since_us < ?2 ORDER BY since_us, id LIMIT ?3",
            query,
            // There are so many at most.
            ALERTS_MAX as usize,
            rows::alert,
        )
    }

    fn write(&self, sql: &str, values: impl rusqlite::Params) -> Result<usize> {
        Ok(self.writing().prepare_cached(sql)?.execute(values)?)
    }

    fn one<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.reading().prepare_cached(sql)?.query_row(values, read).optional()?)
    }

    fn many<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let reading = self.reading();
        let mut statement = reading.prepare_cached(sql)?;
        Ok(statement.query_map(values, read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// A span of one camera or of all, so many rows at most.
    fn rows<T>(
        &self,
        of_one: &str,
        of_all: &str,
        query: Query<'_>,
        most: usize,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let Query { camera, from_us, to_us } = query;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        match camera {
            Some(camera) => self.many(of_one, params![camera, from_us, to_us, most], read),
            None => self.many(of_all, params![from_us, to_us, most], read),
        }
    }

    fn writing(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic left is rolled back when it was dropped.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> MutexGuard<'_, Connection> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                StoreError::Io { path: path.to_owned(), source: io::Error::other(error.to_string()) }
            }
            _ => error.into(),
        })?;
    connection.busy_timeout(BUSY)?;
    // Each commit is in the log at once; the log is brought to the disk at checkpoints.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -4_096)?;
    Ok(connection)
}

fn read_only(path: &Path) -> Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn known(changed: usize, id: Uuid) -> Result<()> {
    if changed == 0 { Err(StoreError::Unknown(id)) } else { Ok(()) }
}

/// SQLite has signed numbers only. No file is that large.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
