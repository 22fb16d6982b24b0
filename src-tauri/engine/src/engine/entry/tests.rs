use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;
use crate::source::SourceErrorCode;

/// Every state as pages are told it, each after a picture was seen. The wall's own tests hold their
/// scripted cameras against this file.
///
/// `NIGHTJAR_BINDINGS=write` renews it.
#[test]
fn pages_are_tested_with_the_states_that_are_told() {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_186_242);
    let cause = || SourceError::new(SourceErrorCode::Unreachable, "No route to the camera.");
    let phases = [
        Phase::Idle,
        Phase::Connecting { attempt: 1, cause: None },
        Phase::Live,
        Phase::Stalled,
        Phase::Reconnecting { until: Instant::now(), attempt: 3, cause: cause() },
        Phase::Failed { attempts: 5, cause: cause() },
        Phase::Refused { cause: SourceError::new(SourceErrorCode::Unauthorized, "Wrong password.") },
    ];
    let states = phases.map(|phase| {
        let retry_at = matches!(phase, Phase::Reconnecting { .. }).then_some(wall + Duration::from_secs(20));
        let cell = StatusCell::new(wall, Arc::default());
        let last_picture = Some(wall - Duration::from_secs(60));
        let state = state(&Status { phase, last_picture, retry_at, ..cell.get() });
        serde_json::to_value(state).expect("it is plain")
    });
    let fresh = format!("{}\n", serde_json::to_string_pretty(&states).expect("it is plain"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src-ui/test/states.json");
    if std::env::var_os("NIGHTJAR_BINDINGS").is_some_and(|v| v == "write") {
        std::fs::write(&path, &fresh).expect("writable");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, fresh,
        "run: NIGHTJAR_BINDINGS=write cargo test -p nightjar-engine --lib engine::entry"
    );
}
