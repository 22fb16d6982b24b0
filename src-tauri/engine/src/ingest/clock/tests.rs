use super::*;

const PICTURE: (TrackKind, u32) = (TrackKind::Video, 90_000);
const BOTH: [(TrackKind, u32); 2] = [PICTURE, (TrackKind::Audio, 8_000)];

fn ms(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

#[test]
fn a_start_that_the_camera_names_is_kept() {
    let start = Instant::now();
    let mut clock = Clock::new(start, vec![5_000, 70], BOTH);
    assert_eq!(clock.place(0, 900, 5_000, ms(start, 40)), 900);
    assert_eq!(clock.place(1, 160, 70, ms(start, 300)), 160);
    assert_eq!(clock.place(0, 4_500, 5_000, ms(start, 80)), 4_500);
}

#[test]
fn tracks_without_a_named_start_begin_where_they_arrived() {
    let start = Instant::now();
    let mut clock = Clock::new(start, vec![], BOTH);
    assert_eq!(clock.place(0, 0, 5_000, ms(start, 400)), 36_000);
    assert_eq!(clock.place(1, 0, 70, ms(start, 100)), 800);
    assert_eq!(clock.place(0, 3_600, 5_000, ms(start, 445)), 39_600);
    // A start in last week is no start.
    let mut clock = Clock::new(start, vec![1], [PICTURE]);
    assert_eq!(clock.place(0, 90_000 * 600_000, 1, ms(start, 100)), 9_000);
}

#[test]
fn a_clock_that_steps_is_put_back_and_one_that_jitters_is_left() {
    let start = Instant::now();
    let mut clock = Clock::new(start, vec![], [PICTURE]);
    clock.place(0, 0, 0, ms(start, 0));
    // The network was gone for four seconds and then gave everything at once.
    assert_eq!(clock.place(0, 3_600, 0, ms(start, 4_000)), 3_600);
    assert_eq!(clock.place(0, 7_200, 0, ms(start, 4_001)), 7_200);
    // B-frames come back in time.
    assert_eq!(clock.place(0, 5_400, 0, ms(start, 4_050)), 5_400);
    // The camera learned the date.
    assert_eq!(clock.place(0, 5_400 + 90_000 * 3_600, 0, ms(start, 4_090)), 5_400 + 3_600);
    assert_eq!(clock.place(0, 9_000 + 90_000 * 3_600, 0, ms(start, 4_130)), 5_400 + 7_200);
    assert_eq!(clock.place(0, i64::MIN, 0, ms(start, 4_170)), 5_400 + 10_800);
}
/// The time of day that is reported for a track when so many ms have passed.
type Reported = fn(usize, i64) -> i64;

/// A camera whose clocks are off by so many parts in a million, and what it says of them.
#[derive(Clone, Copy, Default)]
struct Camera {
    picture_ppm: i64,
    sound_ppm: i64,
    /// It names a start of the pictures that is so many ms before the one of the sound.
    amiss: i64,
    /// Its time of day in ms, as it reports it every 5 s.
    reports: Option<Reported>,
    /// The network delays by up to so many ms.
    jitter: u64,
}

/// An hour of 25 pictures a second and of sound in packets of 20 ms: by how much the sound is ahead of the
/// picture of the same moment, in ms: the least and the most, in the first second and after the first minute.
fn hour(camera: Camera) -> [(f64, f64); 2] {
    let start = Instant::now();
    let mut clock = Clock::new(start, vec![0], BOTH);
    let mut seen = [(f64::MAX, f64::MIN); 2];
    let (mut noise, mut last) = (1u64, i64::MIN);
    for packet in 0..180_000u64 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let late = (noise >> 33) % camera.jitter.max(1);
        let at = i64::try_from(packet).unwrap() * 20;
        let ticks = |rate: i64, ppm: i64| {
            let ticks = i128::from(at) * i128::from(rate) * i128::from(1_000_000 + ppm);
            i64::try_from(ticks / 1_000_000_000).unwrap()
        };
        let picture = ticks(90_000, camera.picture_ppm) - camera.amiss * 90;
        let sound = ticks(8_000, camera.sound_ppm);
        let arrival = |by: u64| ms(start, packet * 20 + by + late);
        if let Some(reports) = camera.reports.filter(|_| at % 5_000 == 0) {
            for (track, elapsed) in [picture, sound].into_iter().enumerate() {
                let wall = (u128::from(reports(track, at).unsigned_abs()) << 32) / 1_000;
                clock.report(track, elapsed, u64::try_from(wall).unwrap(), arrival(0));
            }
        }
        let shown = (packet % 2 == 0).then(|| clock.place(0, picture, 0, arrival(30)));
        assert_eq!(clock.place(1, sound, 0, arrival(25)), sound, "nobody touches the sound");
        if let Some(shown) = shown {
            assert!(shown > last, "in order");
            last = shown;
            let ahead = sound as f64 / 8.0 - shown as f64 / 90.0;
            if let Some((least, most)) =
                seen.get_mut(usize::from(at >= 60_000)).filter(|_| !(1_000..60_000).contains(&at))
            {
                (*least, *most) = (least.min(ahead), most.max(ahead));
            }
        }
    }
    seen
}

const NOON: i64 = 3_900_000_000_000;
const EXACT: Reported = |_, ms| NOON + ms;

#[test]
fn r_n9_clocks_that_run_together_are_left_alone() {
    for (reports, jitter) in [(None, 0), (None, 15), (Some(EXACT), 15)] {
        assert_eq!(hour(Camera { jitter, reports, ..Camera::default() }), [(0.0, 0.0); 2]);
    }
    let together = Camera { picture_ppm: 80, sound_ppm: 80, jitter: 15, ..Camera::default() };
    let [_, (least, most)] = hour(together);
    assert!(least > -0.2 && most < 0.2, "{least} to {most} ms");
}

#[test]
fn r_n9_sound_that_runs_by_another_crystal_stays_in_step_for_an_hour() {
    for (picture_ppm, sound_ppm, jitter) in
        [(0, 100, 0), (0, -100, 15), (100, 0, 15), (-50, 50, 15), (0, 1_000, 15)]
    {
        for reports in [None, Some(EXACT)] {
            let [_, (least, most)] = hour(Camera { picture_ppm, sound_ppm, jitter, reports, amiss: 0 });
            assert!(least > -40.0 && most < 40.0, "{picture_ppm} {sound_ppm} {jitter}: {least} to {most} ms");
        }
    }
}

#[test]
fn r_n9_starts_that_are_named_amiss_are_put_right_by_reports() {
    for amiss in [40, -60] {
        let seen = hour(Camera { amiss, reports: Some(EXACT), jitter: 15, ..Camera::default() });
        assert_eq!(seen, [(0.0, 0.0); 2], "from the first picture on");
    }
}

#[test]
fn reports_that_are_wrong_do_no_harm() {
    let wrong: [(&str, Reported); 4] = [
        ("it stands still", |_, _| NOON),
        ("of one track only", |track, ms| NOON + if track == 0 { 0 } else { ms }),
        ("two times of day", |track, ms| if track == 0 { ms } else { NOON + ms }),
        ("ten times as fast", |_, ms| NOON + 10 * ms),
    ];
    for (what, reports) in wrong {
        let seen = hour(Camera { jitter: 15, reports: Some(reports), ..Camera::default() });
        for (least, most) in seen {
            assert!(least > -40.0 && most < 40.0, "{what}: {least} to {most} ms");
        }
    }
}

/// Ten minutes of a camera whose clock of pictures is off by so many parts in a million: how far its times are from
/// arrival, in ms, at most during the last five.
fn by_arrival(picture_ppm: i64, sound: bool) -> f64 {
    let start = Instant::now();
    let mut clock = Clock::new(start, vec![0], BOTH[..if sound { 2 } else { 1 }].to_vec());
    let (mut most, mut last) = (0f64, i64::MIN);
    for packet in 0..30_000u64 {
        let at = i64::try_from(packet).unwrap() * 20;
        if sound {
            assert_eq!(clock.place(1, at * 8, 0, ms(start, packet * 20 + 25)), at * 8);
        }
        if packet % 2 == 0 {
            let elapsed = at * 90 * (1_000_000 + picture_ppm) / 1_000_000;
            let shown = clock.place(0, elapsed, 0, ms(start, packet * 20 + 30));
            assert!(shown > last, "in order");
            last = shown;
            if at >= 300_000 {
                most = most.max((shown as f64 / 90.0 - at as f64).abs());
            }
        }
    }
    most
}

#[test]
fn pictures_that_are_stamped_at_a_wrong_pace_are_timed_by_arrival() {
    for ppm in [-500_000, -900_000, -200_000, 200_000, 30_000, -3_000] {
        let heard = by_arrival(ppm, true);
        assert!(heard < 700.0, "{ppm} ppm: {heard} ms");
    }
    assert!(by_arrival(-100, true) < 40.0);
    assert_eq!(by_arrival(0, false), 0.0);
}

#[test]
fn a_slow_network_changes_no_times_where_there_is_no_sound() {
    let start = Instant::now();
    let mut clock = Clock::new(start, vec![0], [PICTURE]);
    for n in 0..9_000i64 {
        let at = u64::try_from(n).unwrap() * 40;
        let held = if (60_000..80_000).contains(&at) { at - 60_000 } else { 0 };
        assert_eq!(clock.place(0, n * 3_600, 0, ms(start, at + held)), n * 3_600, "at {at} ms");
    }
}

#[test]
fn sound_that_counts_what_it_got_and_not_time_does_not_carry_the_pictures_away() {
    // One part in fifty slow: over a minute in the hour.
    let [_, (least, _)] = hour(Camera { sound_ppm: -20_000, jitter: 15, ..Camera::default() });
    assert!((least + 72_000.0).abs() < 5_000.0, "the sound is {least} ms from its pictures");
}

#[test]
fn a_network_that_is_too_slow_for_a_while_does_not_part_pictures_and_sound() {
    let start = Instant::now();
    let mut clock = Clock::new(start, vec![0], BOTH);
    let mut most = 0f64;
    for packet in 0..9_000u64 {
        let at = packet * 20;
        // From the first minute on half of what comes gets through for twenty seconds; then all is there at once.
        let held = if (60_000..80_000).contains(&at) { at - 60_000 } else { 0 };
        let at = i64::try_from(at).unwrap();
        let arrival =
            |by: u64| ms(start, packet * 20 + held + by).max(ms(start, 100_000 * u64::from(at >= 80_000)));
        if packet % 2 == 0 {
            let shown = clock.place(0, at * 90, 0, arrival(30));
            most = most.max((shown as f64 / 90.0 - at as f64).abs());
        }
        clock.place(1, at * 8, 0, arrival(25));
    }
    assert!(most < 40.0, "{most} ms");
}
