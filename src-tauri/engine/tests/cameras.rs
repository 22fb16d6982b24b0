//! Cameras come, change and go while the engine runs (R-M4, R-N10), seen through its handle only.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod scripted;

use std::sync::Arc;
use std::time::Duration;

use nightjar_engine::api::{
    ApiError, CameraPatch, CameraSpec, ErrorCode, Event, Fault, FaultKind, StateName, Stream,
};
use nightjar_engine::config::{ConfigStore as _, MemoryStore};
use nightjar_engine::engine::{EngineHandle, EventStream};
use nightjar_engine::env::Secret;
use nightjar_engine::source::SourceErrorCode;
use scripted::{Host, World};
use tokio::time::{Instant, sleep, timeout};

fn spec(id: &str, url: &str) -> CameraSpec {
    CameraSpec { id: Some(id.to_owned()), url: url.to_owned(), ..CameraSpec::default() }
}

async fn until(engine: &EngineHandle, id: &str, state: StateName) {
    let mut events = engine.events();
    let wait = async {
        while engine.camera(id).expect("it is there").state.name != state {
            events.next().await.expect("the engine runs");
        }
    };
    timeout(Duration::from_secs(3_600), wait).await.expect("the state is reached");
}

async fn next(events: &mut EventStream) -> Event {
    timeout(Duration::from_secs(60), events.next()).await.expect("an event").expect("the engine runs")
}

fn code(result: Result<impl Sized, ApiError>) -> ErrorCode {
    result.err().expect("refused").code
}

#[tokio::test(start_paused = true)]
async fn r_m4_added_cameras_are_live_and_there_after_a_restart() {
    let (world, store) = (World::default(), Arc::new(MemoryStore::default()));
    let engine = world.engine("", store.clone()).await;
    let camera = CameraSpec {
        username: Some("admin".into()),
        password: Some(Secret::new("hunter2".into())),
        ..spec("door", "rtsp://10.0.0.1/main")
    };
    engine.add_camera(camera).await.expect("added");
    until(&engine, "door", StateName::Live).await;
    engine.shutdown().await;

    assert!(!store.load().unwrap().unwrap().contains("hunter2"), "no password beside the cameras");
    let engine = world.engine("", store).await;
    until(&engine, "door", StateName::Live).await;
    let again = world.attempts().pop().expect("it was tried");
    assert_eq!(again.password.expect("kept with the secrets").reveal(), "hunter2");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_valid_changes_nothing() {
    let world = World::default();
    let engine = world
        .engine("[[camera]]\nid = \"fixed\"\nurl = \"rtsp://h/\"", Arc::new(MemoryStore::default()))
        .await;
    engine.add_camera(spec("a", "rtsp://h/a")).await.expect("added");
    assert_eq!(code(engine.add_camera(spec("a", "rtsp://h/b")).await), ErrorCode::Duplicate);
    assert_eq!(code(engine.add_camera(spec("b", "rtsp://u:p@h/b")).await), ErrorCode::Invalid);
    assert_eq!(code(engine.add_camera(spec("b c", "rtsp://h/b")).await), ErrorCode::Invalid);
    assert_eq!(code(engine.change_camera("fixed", CameraPatch::default()).await), ErrorCode::ReadOnly);
    assert_eq!(code(engine.remove_camera("fixed").await), ErrorCode::ReadOnly);
    assert_eq!(code(engine.remove_camera("nobody").await), ErrorCode::NotFound);
    let patch = CameraPatch { keepalive_timeout: Some(Some(99)), ..CameraPatch::default() };
    let error = engine.change_camera("a", patch).await.expect_err("out of range");
    assert_eq!(error.field.as_deref(), Some("keepalive_timeout"));
    let ids: Vec<_> = engine.cameras().into_iter().map(|c| c.id).collect();
    assert_eq!(ids, ["fixed", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_name_leaves_the_stream_alone_and_a_new_address_does_not() {
    let world = World::default();
    let engine = world.engine("", Arc::new(MemoryStore::default())).await;
    engine.add_camera(spec("a", "rtsp://h/old")).await.expect("added");
    until(&engine, "a", StateName::Live).await;
    let name = CameraPatch { name: Some(Some("Yard".into())), ..CameraPatch::default() };
    assert_eq!(engine.change_camera("a", name).await.expect("changed").name, "Yard");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.attempts().len(), 1);
    let url = CameraPatch { url: Some("rtsp://h/new".into()), ..CameraPatch::default() };
    engine.change_camera("a", url).await.expect("changed");
    until(&engine, "a", StateName::Live).await;
    assert_eq!(world.attempts_at("rtsp://h/new"), 1);
    assert_eq!(engine.camera("a").unwrap().name, "Yard");
}

#[tokio::test(start_paused = true)]
async fn a_password_goes_only_where_it_went_before() {
    let (world, store) = (World::default(), Arc::new(MemoryStore::default()));
    let engine = world.engine("", store.clone()).await;
    let sent = || world.attempts().pop().expect("it was tried").password.map(|p| p.reveal().clone());
    let change = |patch: CameraPatch| {
        let engine = engine.clone();
        async move {
            let camera = engine.change_camera("a", patch).await.expect("changed");
            until(&engine, "a", StateName::Live).await;
            camera.has_password
        }
    };
    let to = |url: &str| CameraPatch { url: Some(url.to_owned()), ..CameraPatch::default() };
    let login = || CameraPatch {
        username: Some(Some("admin".into())),
        password: Some(Some(Secret::new("hunter2".into()))),
        ..CameraPatch::default()
    };
    engine.add_camera(spec("a", "rtsps://h/main")).await.expect("added");
    let sub = CameraPatch { sub_url: Some(Some("rtsp://g/sub".into())), ..CameraPatch::default() };
    let user = CameraPatch { username: Some(Some("guest".into())), ..CameraPatch::default() };
    for elsewhere in
        [to("rtsp://h/main"), to("rtsps://h:8554/main"), to("rtsps://evil/main"), to("demo:1"), sub, user]
    {
        change(CameraPatch { sub_url: Some(None), ..to("rtsps://h/main") }).await;
        assert!(change(login()).await);
        assert!(change(to("rtsps://H:322/other?channel=2")).await, "the same host");
        assert_eq!(sent().as_deref(), Some("hunter2"));
        let look = CameraSpec {
            url: elsewhere.url.clone().unwrap_or_else(|| "rtsps://h/main".into()),
            sub_url: elsewhere.sub_url.clone().flatten(),
            username: elsewhere.username.clone().map_or(Some("admin".into()), |name| name),
            ..spec("a", "")
        };
        engine.probe(look).await.expect_err("scripted");
        assert!(world.looks().iter().all(|look| look.password.is_none()), "{elsewhere:?}");
        assert!(!change(elsewhere.clone()).await, "{elsewhere:?}");
        assert_eq!(sent(), None, "{elsewhere:?}");
        assert!(!store.load_secrets().unwrap().unwrap().contains("hunter2"));
    }
    let mut moved = login();
    moved.url = Some("rtsp://new/".into());
    assert!(change(moved).await, "who gives it anew means it");
    assert_eq!(sent().as_deref(), Some("hunter2"));
    engine
        .probe(CameraSpec { username: Some("admin".into()), ..spec("a", "rtsp://new/x") })
        .await
        .expect_err("scripted");
    assert!(world.looks().pop().expect("looked").password.is_some(), "whoever edits need not know it");
    assert!(!change(CameraPatch { password: Some(None), ..CameraPatch::default() }).await, "forgotten");
}

#[tokio::test(start_paused = true)]
async fn what_is_private_in_an_address_is_told_to_nobody_and_kept() {
    let (world, store) = (World::default(), Arc::new(MemoryStore::default()));
    let engine = world.engine("", store.clone()).await;
    let camera = CameraSpec {
        sub_url: Some("rtsp://h/user=u_password=hunter3_channel=1.sdp".into()),
        ..spec("a", " rtsp://h/live?user=u&password=hunter2&subtype=0 ")
    };
    let added = engine.add_camera(camera).await.expect("added");
    assert_eq!(added.url.as_deref(), Some("rtsp://h/live?user=u&password=***&subtype=0"));
    assert_eq!(added.sub_url.as_deref(), Some("rtsp://h/user=u_password=***_channel=1.sdp"));
    let mut events = engine.events();
    let told = format!("{:?}{:?}", next(&mut events).await, engine.cameras());
    assert!(!told.contains("hunter"), "{told}");
    assert!(!store.load().unwrap().unwrap().contains("hunter"), "kept with the secrets");
    until(&engine, "a", StateName::Live).await;
    // What was told comes back as it was, with or without a change.
    let same = CameraPatch {
        url: added.url.clone(),
        sub_url: Some(added.sub_url.clone()),
        ..CameraPatch::default()
    };
    engine.change_camera("a", same).await.expect("changed");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.attempts().len(), 1, "nothing changed");
    let other = CameraPatch {
        url: Some("rtsp://h/live?user=u&password=***&subtype=1".into()),
        ..CameraPatch::default()
    };
    engine.change_camera("a", other).await.expect("changed");
    until(&engine, "a", StateName::Live).await;
    let whole = "rtsp://h/live?user=u&password=hunter2&subtype=1";
    assert_eq!(world.attempts_at(whole), 1);
    for url in ["rtsp://evil/live?password=***", "rtsp://h/live?token=***"] {
        let patch = CameraPatch { url: Some(url.into()), ..CameraPatch::default() };
        let error = engine.change_camera("a", patch).await.expect_err("nobody knows it there");
        assert_eq!(error.field.as_deref(), Some("url"), "{url}");
    }
    assert_eq!(code(engine.add_camera(spec("b", "rtsp://h/?token=***")).await), ErrorCode::Invalid);
    engine.probe(spec("a", "rtsp://h/live?password=***")).await.expect_err("scripted");
    assert_eq!(world.looks().pop().expect("looked").url.as_str(), "rtsp://h/live?password=hunter2");
    engine.shutdown().await;

    let engine = world.engine("", store.clone()).await;
    until(&engine, "a", StateName::Live).await;
    assert_eq!(world.attempts_at(whole), 2, "it is there after a restart");
    engine.slot("a", Stream::Sub).await.expect("there");
    assert_eq!(world.attempts_at("rtsp://h/user=u_password=hunter3_channel=1.sdp"), 1);
    engine.remove_camera("a").await.expect("removed");
    assert!(!store.load_secrets().unwrap().unwrap().contains("hunter"));
}

#[tokio::test(start_paused = true)]
async fn r_n10_events_are_numbered_whole_objects_after_a_snapshot() {
    let world = World::default();
    let engine = world.engine("", Arc::new(MemoryStore::default())).await;
    engine.add_camera(spec("a", "rtsp://h/a")).await.expect("added");
    until(&engine, "a", StateName::Live).await;
    let mut events = engine.events();
    let Event::Snapshot { seq: 0, cameras, run, .. } = next(&mut events).await else { panic!("no snapshot") };
    assert_eq!(run.len(), 32, "a run has a name");
    assert_eq!(cameras.len(), 1);
    world.set("rtsp://h/a", Host::Refuses(SourceErrorCode::Unreachable));
    let mut last = 0;
    loop {
        let Event::Camera { seq, camera } = next(&mut events).await else { panic!("only cameras change") };
        assert_eq!(seq, last + 1);
        last = seq;
        if camera.state.name == StateName::Reconnecting && camera.state.retry_at.is_some() {
            assert_eq!(camera.state.cause.expect("it says why").class, "RTSP_NETWORK");
            break;
        }
    }
    engine.remove_camera("a").await.expect("removed");
    loop {
        match next(&mut events).await {
            Event::CameraRemoved { seq, id } => {
                assert_eq!((seq, id.as_str()), (last + 1, "a"));
                break;
            }
            Event::Camera { seq, .. } => last = seq,
            other => panic!("{other:?}"),
        }
    }
    engine.shutdown().await;
    assert!(events.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_sub_stream_is_open_only_while_it_is_watched() {
    let world = World::default();
    let engine = world.engine("", Arc::new(MemoryStore::default())).await;
    let camera = CameraSpec { sub_url: Some("rtsp://h/sub".into()), ..spec("a", "rtsp://h/main") };
    engine.add_camera(camera).await.expect("added");
    until(&engine, "a", StateName::Live).await;
    assert_eq!(world.attempts_at("rtsp://h/sub"), 0);
    let slot = engine.slot("a", Stream::Sub).await.expect("there");
    let viewer = slot.subscribe();
    assert!(slot.is_published());
    sleep(Duration::from_millis(59_900)).await;
    assert!(slot.is_published(), "it is watched");
    drop(viewer);
    sleep(Duration::from_secs(29)).await;
    assert!(slot.is_published(), "somebody may come back");
    sleep(Duration::from_secs(2)).await;
    assert!(!slot.is_published(), "nobody watches");
    assert_eq!(world.attempts_at("rtsp://h/sub"), 1);

    world.set("rtsp://h/sub", Host::Refuses(SourceErrorCode::NotFound));
    let slot = engine.slot("a", Stream::Sub).await.expect("the main stream stands in");
    assert_eq!(slot.newest_key().is_some(), slot.is_published());
    assert!(slot.is_published());
}

#[tokio::test(start_paused = true)]
async fn a_sub_stream_that_does_not_come_costs_no_time_and_is_told_until_it_comes() {
    for code in [SourceErrorCode::NotFound, SourceErrorCode::Unreachable] {
        let world = World::default();
        world.set("rtsp://h/sub", Host::Refuses(code));
        let engine = world.engine("", Arc::new(MemoryStore::default())).await;
        let camera = CameraSpec { sub_url: Some("rtsp://h/sub".into()), ..spec("a", "rtsp://h/main") };
        engine.add_camera(camera).await.expect("added");
        until(&engine, "a", StateName::Live).await;
        assert_eq!(engine.camera("a").unwrap().warnings, []);
        let main = engine.slot("a", Stream::Main).await.expect("there");
        let mut events = engine.events();
        next(&mut events).await;
        for _ in 0..3 {
            let asked = Instant::now();
            let slot = engine.slot("a", Stream::Sub).await.expect("the main stream stands in");
            assert!(slot.is(&main) && asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
            let told = &engine.camera("a").unwrap().warnings;
            assert_eq!(
                (told.len(), told[0].code.as_str(), told[0].class.as_str()),
                (1, "sub_stream", "RTSP_NETWORK")
            );
            sleep(Duration::from_secs(60)).await;
            assert_eq!(engine.camera("a").unwrap().warnings.len(), 1, "also when nobody watches");
        }
        let Event::Camera { camera, .. } = next(&mut events).await else { panic!("a camera changed") };
        assert_eq!((camera.state.name, camera.warnings.len()), (StateName::Live, 1));
        world.set("rtsp://h/sub", Host::Live);
        let slot = engine.slot("a", Stream::Sub).await.expect("there");
        assert!(!slot.is(&main));
        assert_eq!(engine.camera("a").unwrap().warnings, []);
    }
}

#[tokio::test(start_paused = true)]
async fn r_n2_whatever_pages_report_the_source_goes_on() {
    let world = World::default();
    let engine = world.engine("", Arc::new(MemoryStore::default())).await;
    engine.add_camera(spec("a", "rtsp://h/a")).await.expect("added");
    until(&engine, "a", StateName::Live).await;
    for n in 0..200 {
        let class = if n % 3 == 0 { FaultKind::VideoSink } else { FaultKind::Decoder };
        let viewer = Some(format!("viewer-{}", n % 7));
        let fault = Fault { class, detail: "PIPELINE_ERROR_DECODE".into(), viewer, transport: None };
        engine.report_fault("a", &fault).expect("taken");
        sleep(Duration::from_millis(700)).await;
    }
    let camera = engine.camera("a").unwrap();
    assert_eq!((camera.state.name, world.attempts().len()), (StateName::Live, 1));
    assert_eq!((camera.stats.viewer_faults, camera.stats.degraded_viewers), (200, 7));
    assert_eq!(camera.warnings[0].class, "DECODER");
    let told = engine.alerts();
    assert_eq!((told.len(), told[0].cameras.len()), (1, 1), "{told:?}");
    assert_eq!(told[0].cause.as_ref().unwrap().code, "undecodable");
    sleep(Duration::from_secs(70)).await;
    assert_eq!(engine.camera("a").unwrap().warnings, []);
    assert!(engine.alerts()[0].until.is_some(), "it ends by itself");
}

#[tokio::test(start_paused = true)]
async fn r_m4_one_camera_s_trouble_is_not_another_s() {
    let world = World::default();
    let engine = world.engine("", Arc::new(MemoryStore::default())).await;
    for n in 0..16 {
        engine.add_camera(spec(&format!("c{n}"), &format!("rtsp://h/{n}"))).await.expect("added");
    }
    sleep(Duration::from_secs(10)).await;
    for n in 0..15 {
        world.set(&format!("rtsp://h/{n}"), Host::Refuses(SourceErrorCode::Unreachable));
    }
    let before = engine.camera("c15").unwrap().stats.frames;
    sleep(Duration::from_secs(20)).await;
    let after = engine.camera("c15").unwrap();
    assert_eq!(after.state.name, StateName::Live);
    assert_eq!(after.stats.frames - before, 500);
    assert_eq!(after.stats.reconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn cameras_without_an_id_leave_the_chosen_ids_alone() {
    let (world, store) = (World::default(), Arc::new(MemoryStore::default()));
    let engine = world.engine("", store.clone()).await;
    let added = CameraSpec { id: None, ..spec("", "rtsp://h/added") };
    assert_eq!(engine.add_camera(added).await.expect("added").id, "cam_01");
    engine.shutdown().await;
    let file = "[[camera]]\nurl = \"rtsp://h/1\"\n[[camera]]\nid = \"cam_02\"\nurl = \"rtsp://h/2\"";
    let engine = world.engine(file, store).await;
    let ids: Vec<_> = engine.cameras().into_iter().map(|c| c.id).collect();
    assert_eq!(ids, ["cam_03", "cam_02", "cam_01"]);
}

#[tokio::test(start_paused = true)]
async fn r_n10_a_new_name_of_a_refused_camera_is_told() {
    let world = World::default();
    world.set("rtsp://h/a", Host::Refuses(SourceErrorCode::Unauthorized));
    let engine = world.engine("", Arc::new(MemoryStore::default())).await;
    engine.add_camera(spec("a", "rtsp://h/a")).await.expect("added");
    until(&engine, "a", StateName::Refused).await;
    let mut events = engine.events();
    next(&mut events).await;
    let name = CameraPatch { name: Some(Some("Yard".into())), ..CameraPatch::default() };
    engine.change_camera("a", name).await.expect("changed");
    let Event::Camera { camera, .. } = next(&mut events).await else { panic!("a camera changed") };
    assert_eq!(camera.name, "Yard");
}
