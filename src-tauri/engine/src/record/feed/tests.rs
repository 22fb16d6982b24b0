//! The parts of a camera fail and recover each alone (R-N1, R-N2): a source, two viewers, and the recorder's
//! way to a disk that may be stuck, in any order, on the paused clock.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::hub::{Limits, Publisher};
use crate::media::{Codec, Parameters, TrackInfo};

const FRAME: Duration = Duration::from_millis(40);
/// A second between key frames.
const GROUP: u64 = 25;
/// A disk that is stuck for a second and a half overflows.
const QUEUE: usize = 40 * 300;

/// What befalls one part.
#[derive(Clone, Copy, Debug)]
enum Step {
    SourceFalls,
    SourceReturns,
    /// A decoder or display that takes nothing.
    ViewerSticks(usize),
    ViewerGoesOn(usize),
    /// It ends its branch and begins another, as it is told after a fault.
    ViewerRedials(usize),
    DiskSticks,
    DiskGoesOn,
    /// The storage was away and is back.
    StorageReturns,
    RecordingOff,
    RecordingOn,
}

/// One who reads: whether all that it got follows each other.
#[derive(Debug, Default)]
struct Log {
    newest: Option<u64>,
    /// It had a fault of its own since: one jump, to a key frame, is its due.
    excused: bool,
}

impl Log {
    fn takes(&mut self, who: &str, frame: &Frame) {
        let number = number(frame);
        if let Some(newest) = self.newest
            && number != newest + 1
        {
            assert!(self.excused, "{who} had {newest}, then {number}, and no fault of its own");
            assert!(frame.key, "{who} goes on at a key frame");
        }
        self.newest = Some(number);
        self.excused = false;
    }
}

struct Viewer {
    subscriber: Subscriber,
    log: Log,
    stuck: bool,
}

struct House {
    slot: Slot,
    publisher: Option<Publisher>,
    /// Numbers go on over sessions; each session begins with a key frame.
    next: u64,
    began: u64,
    viewers: [Viewer; 2],
    queue: Arc<Queue>,
    recording: Option<(u64, oneshot::Sender<Then>)>,
    recordings: u64,
    log: Log,
    stuck: bool,
    /// A disk that was stuck may be told of up to this frame.
    holes_until: u64,
    raise: watch::Sender<u64>,
}

impl House {
    fn new() -> Self {
        let slot = Slot::new(Limits::default());
        let viewer = || Viewer { subscriber: slot.subscribe(), log: Log::default(), stuck: false };
        let viewers = [viewer(), viewer()];
        let mut house = Self {
            slot,
            publisher: None,
            next: 0,
            began: 0,
            viewers,
            queue: Arc::new(Queue::new(QUEUE)),
            recording: None,
            recordings: 0,
            log: Log::default(),
            stuck: false,
            holes_until: 0,
            raise: watch::Sender::new(0),
        };
        house.befall(Step::RecordingOn);
        house.befall(Step::SourceReturns);
        house
    }

    fn befall(&mut self, step: Step) {
        match step {
            Step::SourceFalls => self.publisher = None,
            Step::SourceReturns => {
                if self.publisher.is_none() {
                    self.began = self.next;
                    self.publisher = Some(self.slot.publish(tracks()).expect("free"));
                }
            }
            Step::ViewerSticks(who) => self.viewers[who].stuck = true,
            Step::ViewerGoesOn(who) => {
                let viewer = &mut self.viewers[who];
                viewer.log.excused |= std::mem::take(&mut viewer.stuck);
            }
            Step::ViewerRedials(who) => {
                let viewer = &mut self.viewers[who];
                viewer.subscriber = self.slot.subscribe();
                viewer.log.excused = true;
                viewer.stuck = false;
            }
            Step::DiskSticks => {
                self.stuck = true;
                self.holes_until = u64::MAX;
            }
            Step::DiskGoesOn => {
                if std::mem::take(&mut self.stuck) {
                    self.holes_until = self.next + 2 * GROUP;
                }
            }
            Step::StorageReturns => {
                self.raise.send_modify(|times| *times += 1);
            }
            Step::RecordingOff => {
                if let Some((_, stop)) = self.recording.take() {
                    drop(stop);
                    self.log.excused = true;
                }
            }
            Step::RecordingOn => {
                if self.recording.is_none() {
                    let (stop, until) = oneshot::channel();
                    let feed = Feed::new(&self.slot, Arc::clone(&self.queue), Relay::default());
                    let go = Go { number: self.recordings, again: self.raise.subscribe(), until };
                    tokio::spawn(feed.run(Task::Go(go)));
                    self.recording = Some((self.recordings, stop));
                    self.recordings += 1;
                    self.log.excused = true;
                }
            }
        }
    }

    /// One frame's time.
    async fn pass(&mut self) {
        if let Some(publisher) = &self.publisher {
            publisher.push(frame(self.next, (self.next - self.began).is_multiple_of(GROUP)));
            self.next += 1;
        }
        tokio::time::advance(FRAME).await;
        // The recorder's task reads what is there, and comes to rest.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        for (who, viewer) in self.viewers.iter_mut().enumerate().filter(|(_, viewer)| !viewer.stuck) {
            while let Some(item) = viewer.subscriber.try_next() {
                match item {
                    Ok(frame) => viewer.log.takes(&format!("viewer {who}"), &frame),
                    Err(Gap::Skipped { frames }) => assert!(viewer.log.excused, "{who} lost {frames}"),
                    Err(Gap::Closed) => panic!("nobody closed it"),
                    Err(_) => {}
                }
            }
        }
        if !self.stuck {
            self.write();
        }
    }

    /// What the writer would do now.
    fn write(&mut self) {
        let current = self.recording.as_ref().map(|(number, _)| *number);
        while let Some((recording, word)) = self.queue.pop(Duration::ZERO) {
            match word {
                Word::Frame(frame) if Some(recording) == current => {
                    self.log.takes("the recorder", &frame);
                }
                Word::Hole(hole) if Some(recording) == current => {
                    let due = self.next <= self.holes_until;
                    assert!(due, "a hole of {} frames and a disk that takes all", hole.frames);
                    self.log.excused = true;
                }
                Word::Again if Some(recording) == current => self.log.excused = true,
                _ => {}
            }
        }
    }

    /// Everybody is well again, and has all from now on.
    async fn heal(&mut self) {
        for step in [
            Step::ViewerGoesOn(0),
            Step::ViewerGoesOn(1),
            Step::DiskGoesOn,
            Step::RecordingOn,
            Step::SourceReturns,
        ] {
            self.befall(step);
        }
        for _ in 0..3 * GROUP {
            self.pass().await;
        }
        let last = self.next.checked_sub(1);
        for (who, viewer) in self.viewers.iter().enumerate() {
            assert_eq!(viewer.log.newest, last, "viewer {who} is at the live edge");
        }
        assert_eq!(self.log.newest, last, "the recorder has the newest frame");
    }
}

fn tracks() -> Arc<[TrackInfo]> {
    Arc::from([TrackInfo {
        id: 0,
        kind: TrackKind::Video,
        codec: Codec::H264,
        timescale: 90_000,
        parameters: Parameters::Video { width: 640, height: 360 },
        generation: 0,
        note: None,
    }])
}

fn frame(number: u64, key: bool) -> Frame {
    Frame {
        track: 0,
        pts: i64::try_from(number).expect("few") * 3_600,
        arrival: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
        key,
        generation: 0,
        loss: 0,
        data: Bytes::copy_from_slice(&number.to_be_bytes()),
        packets: Default::default(),
    }
}

fn number(frame: &Frame) -> u64 {
    u64::from_be_bytes(frame.data[..].try_into().expect("eight bytes"))
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::SourceFalls),
        Just(Step::SourceReturns),
        (0..2usize).prop_map(Step::ViewerSticks),
        (0..2usize).prop_map(Step::ViewerGoesOn),
        (0..2usize).prop_map(Step::ViewerRedials),
        Just(Step::DiskSticks),
        Just(Step::DiskGoesOn),
        Just(Step::StorageReturns),
        Just(Step::RecordingOff),
        Just(Step::RecordingOn),
    ]
}

fn on_the_paused_clock(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn r_n2_parts_fail_and_recover_each_alone_in_any_order(
        steps in prop::collection::vec((any_step(), 0u64..90), 1..30)
    ) {
        on_the_paused_clock(async {
            let mut house = House::new();
            for (step, frames) in steps {
                house.befall(step);
                for _ in 0..frames {
                    house.pass().await;
                }
            }
            house.heal().await;
        });
    }
}

#[test]
fn r_n1_a_branch_is_switched_without_a_gap_in_another() {
    on_the_paused_clock(async {
        let mut house = House::new();
        for round in 0..40 {
            let switch = match round % 4 {
                0 => Step::RecordingOff,
                1 => Step::ViewerRedials(0),
                2 => Step::RecordingOn,
                _ => Step::ViewerSticks(0),
            };
            house.befall(switch);
            // Not a multiple of a group: switches meet every place in one.
            for _ in 0..7 + round {
                house.pass().await;
            }
            assert!(!house.viewers[1].log.excused, "the other viewer was never touched");
        }
        house.heal().await;
        let last = house.next - 1;
        assert_eq!(house.viewers[1].log.newest, Some(last), "and has every frame from first to last");
    });
}

#[test]
fn frames_that_were_lost_just_before_recording_ended_are_told_of() {
    on_the_paused_clock(async {
        let mut house = House::new();
        house.pass().await;
        house.befall(Step::DiskSticks);
        for _ in 0..3 * GROUP {
            house.pass().await;
        }
        house.befall(Step::RecordingOff);
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let (mut got, mut lost) = (1, 0);
        while let Some((_, word)) = house.queue.pop(Duration::ZERO) {
            match word {
                Word::Frame(_) => got += 1,
                Word::Hole(hole) => lost += hole.frames,
                _ => {}
            }
        }
        assert!(lost > 0);
        assert_eq!(got + lost, house.next, "each frame is recorded or told of");
    });
}
