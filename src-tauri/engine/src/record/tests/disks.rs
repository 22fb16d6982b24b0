//! Several roots: each recorder has its own disk, and one catalogue knows all.

use super::*;

/// The main root and one more, with a recorder each.
struct House {
    dir: tempfile::TempDir,
    catalogue: Arc<Catalogue>,
    estate: Arc<Estate>,
    main: Recorder,
    attic: Recorder,
    tasks: TaskTracker,
}

impl House {
    fn new(dir: tempfile::TempDir) -> Self {
        let (catalogue, _) = Catalogue::open(&dir.path().join("catalogue.db")).unwrap();
        let (catalogue, ledger) =
            (Arc::new(catalogue), Arc::new(Ledger::open(dir.path().join("recording.json"))));
        let [main, attic] = ["recordings", "attic"].map(|name| dir.path().join(name));
        let estate = Estate::new(Disks::new(main, [("attic".to_owned(), attic)]));
        let start = |disk: &str| {
            let options = Options {
                disk: disk.to_owned(),
                estate: Arc::clone(&estate),
                limits: Limits { seconds: 900, bytes: 0 },
                retention: Retention { days: 7, min_free: 0, overwrite: true, quota: 0 },
                catalogue: Arc::clone(&catalogue),
                ledger: Arc::clone(&ledger),
            };
            Recorder::start(options, &Env::system()).expect("started")
        };
        let (main, attic) = (start(MAIN), start("attic"));
        Self { main, attic, dir, catalogue, estate, tasks: TaskTracker::new() }
    }

    async fn ready(&self) {
        let well = |recorder: &Recorder| recorder.storage() == Some((State::Recording, None));
        until("both are ready", || well(&self.main) && well(&self.attic)).await;
    }

    fn rows(&self) -> Vec<SegmentRow> {
        self.catalogue.segments(Query { camera: None, from_us: 0, to_us: i64::MAX }).unwrap()
    }

    async fn sealed(&self, files: usize) {
        let open = |disk| self.catalogue.open_segments(disk).unwrap().len();
        let done = || self.rows().len() == files && open(MAIN) + open("attic") == 0;
        until(&format!("{files} files of {:?}", self.rows()), done).await;
    }

    fn pictures(&self, row: &SegmentRow) -> Vec<String> {
        whole(&self.estate.disks().place(&row.disk, &row.path).expect("a disk that is known"))
    }

    async fn close(self) -> tempfile::TempDir {
        self.tasks.close();
        tokio::join!(self.main.shutdown(), self.attic.shutdown(), self.tasks.wait());
        self.dir
    }
}

#[tokio::test]
async fn r_n1_a_camera_that_moves_to_another_disk_loses_no_picture_and_has_none_twice() {
    let house = House::new(tempfile::tempdir().unwrap());
    house.ready().await;
    let slot = Slot::new(HubLimits::default());
    let clip = Clip::h264();
    let recording = house.main.camera("cam", &slot, &house.tasks, || {});
    recording.switch(true, false);
    let mut cam = Cam::on(&slot, &clip);
    // In the middle of a group of pictures.
    cam.give(2.4).await;
    let moved = recording.moved_to(&house.attic, || {});
    assert_eq!((recording.disk(), moved.disk(), recording.is_on()), (MAIN, "attic", false));
    moved.switch(true, false);
    cam.give(3.6).await;
    // And back, at once after the next key frame.
    let back = moved.moved_to(&house.main, || {});
    back.switch(true, false);
    cam.give(2.0).await;
    assert_eq!((cam.seen, cam.gaps), (200, 0), "live view never notices");
    back.switch(false, false);
    house.sealed(3).await;
    let rows = house.rows();
    assert_eq!(rows.iter().map(|row| &*row.disk).collect::<Vec<_>>(), [MAIN, "attic", MAIN]);
    let pictures: Vec<usize> = rows.iter().map(|row| house.pictures(row).len()).collect();
    assert_eq!(pictures.iter().sum::<usize>(), 200, "each once: {pictures:?}");
    let gaps = house.catalogue.gaps(Query { camera: Some("cam"), from_us: 0, to_us: i64::MAX }).unwrap();
    assert!(gaps.is_empty(), "{gaps:?}");
    house.close().await;
}

#[tokio::test]
async fn r_n6_a_disk_that_goes_stops_its_own_cameras_alone() {
    let house = House::new(tempfile::tempdir().unwrap());
    house.ready().await;
    let clip = Clip::h264();
    let slots = [(), ()].map(|()| Slot::new(HubLimits::default()));
    let below = house.main.camera("below", &slots[0], &house.tasks, || {});
    let above = house.attic.camera("above", &slots[1], &house.tasks, || {});
    below.switch(true, false);
    above.switch(true, false);
    let mut cams = slots.each_ref().map(|slot| Cam::on(slot, &clip));
    for cam in &mut cams {
        cam.give(4.0).await;
    }
    let long = |row: &SegmentRow| row.end_us - row.start_us > 1_500_000;
    until("on the disks", || house.rows().len() == 2 && house.rows().iter().all(long)).await;
    let root = house.dir.path().join("attic");
    let aside = house.dir.path().join("aside");
    fs::rename(&root, &aside).unwrap();
    fs::create_dir(&root).unwrap();
    until("noticed", || state(&above) == State::StorageLost).await;
    let cause = above.status().cause.expect("it says why");
    assert!(cause.detail.contains("(disk \"attic\")"), "{}", cause.detail);
    for cam in &mut cams {
        cam.give(4.0).await;
    }
    assert_eq!(state(&below), State::Recording);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "nothing lands in the empty mount point");
    fs::remove_dir(&root).unwrap();
    fs::rename(&aside, &root).unwrap();
    until("back", || state(&above) == State::Recording).await;
    for cam in &mut cams {
        cam.give(4.0).await;
    }
    below.switch(false, false);
    above.switch(false, false);
    house.sealed(3).await;
    let of = |id: &str| house.rows().into_iter().filter(|row| row.camera == id).collect::<Vec<_>>();
    let [whole] = &of("below")[..] else { panic!("{:?}", of("below")) };
    assert_eq!((&*whole.disk, house.pictures(whole).len()), (MAIN, 300), "every one");
    let gaps = |id| house.catalogue.gaps(Query { camera: Some(id), from_us: 0, to_us: i64::MAX }).unwrap();
    assert!(gaps("below").is_empty(), "{:?}", gaps("below"));
    let [gap] = &gaps("above")[..] else { panic!("{:?}", gaps("above")) };
    assert_eq!((&*gap.cause, &*gap.disk), ("storage_lost", "attic"));
    house.close().await;
}

#[tokio::test]
async fn each_root_is_one_programs_and_a_new_run_closes_gaps_of_its_own_disks() {
    let house = House::new(tempfile::tempdir().unwrap());
    house.ready().await;
    // Another program, with a data directory of its own and the attic as its main root.
    let other = tempfile::tempdir().unwrap();
    let (catalogue, _) = Catalogue::open(&other.path().join("catalogue.db")).unwrap();
    let options = Options {
        disk: MAIN.to_owned(),
        estate: Estate::new(Disks::one(house.dir.path().join("attic"))),
        limits: Limits { seconds: 900, bytes: 0 },
        retention: Retention { days: 7, min_free: 0, overwrite: true, quota: 0 },
        catalogue: Arc::new(catalogue),
        ledger: Arc::new(Ledger::open(other.path().join("recording.json"))),
    };
    let second = Recorder::start(options, &Env::system()).expect("started");
    let refused = || matches!(second.storage(), Some((_, Some(cause))) if cause.code == Code::StorageInUse);
    until("refused", refused).await;
    second.shutdown().await;
    for disk in [MAIN, "attic", "sold"] {
        house.catalogue.gap("cam", disk, 10, None, "storage_lost").unwrap();
    }
    let dir = house.close().await;
    let house = House::new(dir);
    until("closed", || house.catalogue.open_gaps().unwrap().is_empty()).await;
    house.close().await;
}
