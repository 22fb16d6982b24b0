use crate::api::{CameraState, Recording, Stats, Timestamp, Transport};

use super::*;

const AFTER: Duration = Duration::from_secs(10);

fn camera(id: &str) -> Camera {
    let since = Timestamp::from(SystemTime::UNIX_EPOCH);
    Camera {
        id: id.to_owned(),
        name: id.to_uppercase(),
        kind: CameraKind::Rtsp,
        state: CameraState {
            name: StateName::Live,
            since: since.clone(),
            attempt: None,
            cause: None,
            retry_at: None,
            last_picture_at: None,
        },
        tracks: Vec::new(),
        recording: Recording { state: RecordingState::Off, since, cause: None, disk: None },
        warnings: Vec::new(),
        stats: Stats::default(),
        url: None,
        sub_url: None,
        sub: false,
        username: None,
        has_password: false,
        tls_fingerprint: None,
        phone: None,
        transport: Transport::Tcp,
        record: false,
        own: crate::api::OwnSettings::default(),
        recorded: crate::api::RecordSettings::default(),
        alerts: true,
        read_only: false,
    }
}

fn cause(code: &str) -> Option<Cause> {
    Some(Cause { code: code.to_owned(), class: "RTSP_NETWORK".to_owned(), detail: String::new() })
}

/// The ledger on invented time, with three cameras.
struct Bench {
    ledger: Ledger,
    start: Instant,
    at: Duration,
    ids: u32,
    cameras: Vec<Camera>,
    next: Option<Instant>,
}

impl Bench {
    fn new() -> Self {
        let cameras = ["a", "b", "c"].map(camera).into();
        Self {
            ledger: Ledger::new(AFTER, Vec::new()),
            start: Instant::now(),
            at: Duration::ZERO,
            ids: 0,
            cameras,
            next: None,
        }
    }

    fn set(&mut self, place: usize, name: StateName, code: Option<&str>) {
        let state = &mut self.cameras[place].state;
        (state.name, state.cause) = (name, code.and_then(cause));
    }

    fn after(&mut self, seconds: u64) -> Vec<Alert> {
        self.at += Duration::from_secs(seconds);
        let now = (self.start + self.at, SystemTime::UNIX_EPOCH + self.at);
        let ids = &mut self.ids;
        let (changed, next) = self.ledger.look(now, false, &self.cameras, || {
            *ids += 1;
            ids.to_string()
        });
        self.next = next;
        changed
    }
}

#[test]
fn r_n10_a_loss_of_ten_seconds_is_told_and_cleared_when_the_camera_is_back() {
    let mut bench = Bench::new();
    bench.set(0, StateName::Stalled, None);
    bench.cameras[0].stats.last_frame_ms = Some(2_000);
    assert!(bench.after(20).is_empty());
    assert_eq!(bench.next, Some(bench.start + Duration::from_secs(28)), "two seconds passed already");
    bench.set(0, StateName::Reconnecting, Some("closed"));
    assert!(bench.after(7).is_empty());
    let [alert] = &bench.after(1)[..] else { panic!("not told") };
    assert_eq!((alert.kind, alert.camera.as_deref()), (AlertKind::CameraLost, Some("a")));
    assert_eq!(alert.since, Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(18)));
    assert!(alert.message.contains('A') && !alert.remedy.is_empty(), "{alert:?}");
    assert!(bench.after(60).is_empty(), "told once");
    bench.set(0, StateName::Live, None);
    let [over] = &bench.after(1)[..] else { panic!("not cleared") };
    assert_eq!((&over.id, over.until.is_some()), (&alert.id, true));
    assert!(bench.after(60).is_empty());
    assert_eq!(bench.ledger.all()[..], *std::slice::from_ref(over));
}

#[test]
fn r_n5_a_camera_that_is_given_up_on_is_told_of_at_once_unless_more_patience_was_asked_for() {
    let mut bench = Bench::new();
    bench.set(0, StateName::Reconnecting, Some("closed"));
    assert!(bench.after(1).is_empty());
    bench.set(0, StateName::Failed, Some("unreachable"));
    let [alert] = &bench.after(1)[..] else { panic!("not told") };
    assert_eq!((alert.kind, alert.camera.as_deref()), (AlertKind::CameraFailed, Some("a")));
    bench.ledger.set_after(Duration::from_secs(60));
    bench.set(1, StateName::Failed, Some("unreachable"));
    assert!(bench.after(1).is_empty());
    assert_eq!(bench.after(60).len(), 1);
}

#[test]
fn our_own_sleep_raises_no_alert() {
    let mut bench = Bench::new();
    bench.after(1);
    // After a minute in which this program did not run every camera is silent for a moment.
    for place in 0..3 {
        bench.set(place, StateName::Stalled, None);
        bench.cameras[place].stats.last_frame_ms = Some(60_000);
    }
    assert!(bench.after(60).is_empty());
    bench.set(0, StateName::Live, None);
    bench.set(1, StateName::Live, None);
    assert!(bench.after(7).is_empty());
    // One is really gone, and told of as soon as any other would be.
    let [alert] = &bench.after(1)[..] else { panic!("not told") };
    assert_eq!(alert.camera.as_deref(), Some("c"));
}

#[test]
fn r_k4_a_hiccup_is_no_alert() {
    let mut bench = Bench::new();
    bench.set(0, StateName::Stalled, None);
    assert!(bench.after(1).is_empty());
    assert!(bench.after(8).is_empty());
    bench.set(0, StateName::Live, None);
    assert!(bench.after(1).is_empty());
    assert_eq!(bench.next, None);
    assert!(bench.after(60).is_empty());
}

#[test]
fn cameras_that_fall_together_are_one_alert() {
    let mut bench = Bench::new();
    bench.set(0, StateName::Reconnecting, Some("stalled"));
    bench.after(1);
    bench.set(1, StateName::Reconnecting, Some("stalled"));
    bench.after(3);
    let [alert] = &bench.after(7)[..] else { panic!("not one alert") };
    assert_eq!((&alert.cameras[..], &alert.camera), (&["a".to_owned(), "b".to_owned()][..], &None));
    assert!(alert.remedy.contains("switch"), "{alert:?}");
    // One that is noticed a little later belongs to them; one that falls much later does not.
    bench.set(0, StateName::Live, None);
    let [alert] = &bench.after(1)[..] else { panic!("no word of the first") };
    assert_eq!((&alert.back[..], &alert.until), (&["a".to_owned()][..], &None));
    bench.set(2, StateName::Reconnecting, Some("stalled"));
    bench.after(10);
    let [other] = &bench.after(10)[..] else { panic!("the third is not told") };
    assert_eq!((other.id != alert.id, other.camera.as_deref()), (true, Some("c")));
    bench.set(1, StateName::Live, None);
    let [over] = &bench.after(1)[..] else { panic!("not cleared") };
    assert!(over.until.is_some() && over.id == alert.id);
}

#[test]
fn r_n5_a_loss_that_becomes_a_failure_stays_one_alert() {
    let mut bench = Bench::new();
    bench.set(0, StateName::Reconnecting, Some("unreachable"));
    bench.after(1);
    let [lost] = &bench.after(10)[..] else { panic!("not told") };
    bench.set(0, StateName::Failed, Some("unreachable"));
    let [failed] = &bench.after(80)[..] else { panic!("not renewed") };
    assert_eq!((&failed.id, failed.kind), (&lost.id, AlertKind::CameraFailed));
    bench.set(0, StateName::Refused, Some("unauthorized"));
    let [refused] = &bench.after(1)[..] else { panic!("not renewed") };
    assert_eq!((&refused.id, refused.kind), (&lost.id, AlertKind::CameraRefused));
}

#[test]
fn r_n6_lost_storage_is_told_at_once_and_once_for_all_cameras() {
    let mut bench = Bench::new();
    for camera in &mut bench.cameras[..2] {
        camera.recording.state = RecordingState::StorageLost;
    }
    let [alert] = &bench.after(1)[..] else { panic!("not one alert") };
    assert_eq!((alert.kind, alert.cameras.len()), (AlertKind::StorageLost, 2));
    bench.cameras[2].recording.state = RecordingState::StorageLost;
    let [joined] = &bench.after(60)[..] else { panic!("not joined") };
    assert_eq!((&joined.id, joined.cameras.len()), (&alert.id, 3));
}

#[test]
fn r_k3_a_warning_that_lasts_is_told_and_a_camera_that_is_switched_off_is_not() {
    let mut bench = Bench::new();
    bench.cameras[0].warnings = vec![cause("buffering").unwrap()];
    bench.cameras[1].alerts = false;
    bench.set(1, StateName::Failed, Some("unreachable"));
    bench.after(1);
    assert!(bench.after(29).is_empty());
    let told: Vec<_> = bench.after(1).iter().map(|alert| (alert.kind, alert.camera.clone())).collect();
    assert_eq!(told, [(AlertKind::Buffering, Some("a".to_owned()))]);
    // A camera that is removed has no trouble any more.
    bench.cameras.remove(0);
    assert!(bench.after(1)[0].until.is_some());
}

#[test]
fn what_is_over_is_kept_within_bounds() {
    let mut bench = Bench::new();
    for _ in 0..KEPT + 20 {
        bench.set(0, StateName::Reconnecting, Some("closed"));
        bench.after(1);
        bench.after(11);
        bench.set(0, StateName::Live, None);
        bench.after(1);
    }
    assert_eq!(bench.ledger.all().len(), KEPT);
    assert!(bench.ledger.pending.is_empty() && bench.ledger.open.is_empty());
}

#[test]
fn r_n10_space_that_will_not_last_is_one_alert_for_all_that_are_recorded() {
    let mut bench = Bench::new();
    let short = Cause { code: "space_short".into(), class: "DISK_FULL".into(), detail: "2 days".into() };
    bench.ledger.set_space(HashMap::from([(String::new(), short.clone())]));
    assert!(bench.after(1).is_empty(), "nothing is recorded");
    bench.cameras[0].recording.state = RecordingState::Recording;
    bench.cameras[1].recording.state = RecordingState::Recording;
    let [alert] = &bench.after(1)[..] else { panic!("not told") };
    assert_eq!((alert.kind, &alert.cameras[..]), (AlertKind::SpaceShort, &["a".into(), "b".into()][..]));
    assert!(alert.cause == Some(short) && !alert.remedy.is_empty(), "{alert:?}");
    assert!(bench.after(600).is_empty(), "told once");
    bench.ledger.set_space(HashMap::new());
    let [over] = &bench.after(1)[..] else { panic!("not cleared") };
    assert_eq!((&over.id, over.until.is_some()), (&alert.id, true));
}
