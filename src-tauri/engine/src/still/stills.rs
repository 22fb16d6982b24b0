//! Stills for many who ask at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};

use super::{StillError, WIDTHS, jpeg};
use crate::media::{Frame, TrackInfo};

/// Widths of one key frame that are remembered; whoever asks for more of them makes the oldest forgotten.
const REMEMBERED: usize = 8;

/// The right to decode: so many pictures at once, whatever is asked for. Shared by all cameras.
#[derive(Clone, Debug)]
pub struct Decoders {
    permits: Arc<Semaphore>,
}

impl Decoders {
    /// At most `at_once` pictures are decoded at a time; the others wait their turn.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(at_once.max(1))) }
    }

    /// The JPEG of a key frame, as [`jpeg()`] makes it, when its turn has come.
    ///
    /// # Errors
    /// Those of [`jpeg()`].
    pub async fn jpeg(
        &self,
        track: &TrackInfo,
        frame: &Arc<Frame>,
        width: Option<u16>,
    ) -> Result<Bytes, StillError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let (track, frame) = (track.clone(), Arc::clone(frame));
        let work = move || {
            // Held to the end of the work, also when nobody waits for it any more.
            let _permit = permit;
            jpeg(&track, &frame, width)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(StillError::Panicked))
    }
}

/// The stills of one camera: the JPEGs of its newest key frame, each made once.
#[derive(Debug)]
pub struct Stills {
    decoders: Decoders,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    /// The key frame they show. Its memory is the hub's to keep.
    frame: Weak<Frame>,
    by_width: VecDeque<(Option<u16>, Cell)>,
}

type Cell = Arc<OnceCell<Result<Bytes, StillError>>>;

impl Stills {
    /// Nothing made yet.
    #[must_use]
    pub fn new(decoders: Decoders) -> Self {
        Self { decoders, made: Mutex::new(Made::default()) }
    }

    /// The JPEG of a key frame, as [`jpeg()`] makes it; who asks for the same one at the same time waits for
    /// the same decode.
    ///
    /// # Errors
    /// Those of [`jpeg()`].
    pub async fn jpeg(
        &self,
        track: &TrackInfo,
        frame: &Arc<Frame>,
        width: Option<u16>,
    ) -> Result<Bytes, StillError> {
        let width = width.map(|width| width.clamp(*WIDTHS.start(), *WIDTHS.end()));
        let cell = self.cell(frame, width);
        let made = cell.get_or_init(|| self.decoders.jpeg(track, frame, width)).await;
        made.clone()
    }

    fn cell(&self, frame: &Arc<Frame>, width: Option<u16>) -> Cell {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // A `Weak` keeps its address from being used again.
        if !std::ptr::eq(made.frame.as_ptr(), Arc::as_ptr(frame)) {
            *made = Made { frame: Arc::downgrade(frame), by_width: VecDeque::new() };
        }
        if let Some((_, cell)) = made.by_width.iter().find(|(known, _)| *known == width) {
            return Arc::clone(cell);
        }
        if made.by_width.len() >= REMEMBERED {
            made.by_width.pop_front();
        }
        let cell = Cell::default();
        made.by_width.push_back((width, Arc::clone(&cell)));
        cell
    }
}
