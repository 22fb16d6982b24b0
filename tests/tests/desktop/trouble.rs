//! What the window and the tray say when something is wrong, and that both lead to it.

use fantoccini::Locator;
use nightjar_testcam::{Builtin, Clip, Options, TestCam};
use serde_json::{Value, json};

use crate::desk::{Desk, Driven, ONE_AT_A_TIME, until};

/// The folder of the app's data, as its identifier names it.
const DATA: &str = "data/app.nightjar.desktop";

async fn camera(clip: Builtin) -> TestCam {
    let clip = Clip::builtin(clip);
    TestCam::spawn(Options { clip, ..Options::default() }).await.expect("a free port")
}

/// Adds a camera by the window's own door.
async fn add(page: &Driven, id: &str, cam: &TestCam) {
    let body = json!({"id": id, "name": id, "url": cam.url(), "max_reconnect_attempts": 1}).to_string();
    let add = format!(
        "__TAURI_INTERNALS__.invoke('door').then(({{ base_url, token }}) => fetch(`${{base_url}}/api/v1/cameras`, {{
            method: 'POST',
            headers: {{ Authorization: `Bearer ${{token}}`, 'Content-Type': 'application/json' }},
            body: {},
        }})).then((answer) => answer.status)",
        json!(body)
    );
    assert_eq!(page.value(&add).await, 201);
}

#[tokio::test]
async fn a_wrong_setting_is_named_in_the_window_and_mended_without_a_restart() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let desk = Desk::new();
    let folder = desk.home.join(DATA);
    std::fs::create_dir_all(&folder).unwrap();
    let settings = folder.join("settings.json");
    let with = |seconds: u32| json!({"config": {"streaming": {"keepalive_timeout": seconds}}}).to_string();
    std::fs::write(&settings, with(99)).unwrap();
    let page = Driven::start(&desk).await;
    page.wait_for(Locator::XPath("//h1[contains(., 'a setting is wrong')]")).await;
    let said = page.value("document.querySelector('[role=alert]').innerText").await;
    let said = said.as_str().unwrap();
    assert!(said.contains("settings.json") && said.contains("keepalive_timeout"), "{said}");
    page.screenshot("desktop-broken.png").await;

    // A file that is damaged is named as well, and what is mended counts at the next try.
    std::fs::write(&settings, with(5)).unwrap();
    let cameras = folder.join("cameras.json");
    std::fs::write(&cameras, "{").unwrap();
    let again = || page.wait_for(Locator::XPath("//button[contains(., 'Try again')]"));
    again().await.click().await.expect("a button");
    page.wait_for(Locator::XPath("//h1[contains(., 'what it keeps cannot be read')]")).await;
    let said = page.value("document.querySelector('[role=alert]').innerText").await;
    assert!(said.as_str().unwrap().contains("cameras.json"), "{said}");
    std::fs::remove_file(&cameras).unwrap();
    again().await.click().await.expect("a button");
    page.wait_for(Locator::XPath("//button[contains(., 'demo cameras')]")).await;
}

#[tokio::test]
async fn r_n10_the_tray_names_a_camera_that_is_away_and_opens_its_tile() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut desk = Desk::new();
    let page = Driven::start(&desk).await;
    page.wait_for(Locator::Css("main")).await;
    let (gate, yard) = (camera(Builtin::Garden).await, camera(Builtin::Street).await);
    add(&page, "gate", &gate).await;
    add(&page, "yard", &yard).await;
    let says = async |desk: &mut Desk, headline: &str| {
        until(headline, async || {
            (desk.menu().await.first().map(String::as_str) == Some(headline)).then_some(())
        })
        .await;
    };
    says(&mut desk, "All 2 cameras live").await;
    gate.stop().await;
    says(&mut desk, "1 of 2 offline").await;
    let line =
        until("its line", async || desk.menu().await.into_iter().find(|label| label.starts_with("gate: ")))
            .await;
    desk.click(&line);
    until("its tile alone", async || (page.value("location.hash").await == "#/wall/gate").then_some(()))
        .await;
}

/// R-M3, R-M5: where the system's decoders have it, the window plays H.265 by MSE; where they do not, it
/// says so.
#[tokio::test]
async fn r_m3_h265_moves_in_the_window_or_is_named() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let desk = Desk::new();
    let page = Driven::start(&desk).await;
    page.wait_for(Locator::Css("main")).await;
    let cam = camera(Builtin::H265).await;
    add(&page, "gate", &cam).await;
    let can = page.value("MediaSource.isTypeSupported('video/mp4; codecs=\"hvc1.1.6.L120.90\"')").await;
    let tile = "(() => {
        const tile = document.querySelector('[data-tile=gate]');
        return {
            viewer: tile?.dataset.viewer,
            words: tile?.innerText ?? '',
            frames: tile?.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0,
        };
    })()";
    let moves = |seen: &Value| seen["viewer"] == "playing" && seen["frames"].as_u64() > Some(50);
    let named =
        |seen: &Value| seen["words"].as_str().is_some_and(|words| words.contains("H.265 does not play"));
    until("H.265", async || {
        let seen = page.value(tile).await;
        (if can == true { moves(&seen) } else { named(&seen) }).then_some(())
    })
    .await;
    page.screenshot("desktop-h265.png").await;
}
