//! The companion without its web view: the page's commands are lines of JSON on the input, and what the page is
//! told are lines on the output. So the browser tests run the bundled page with the app's own signaling.
//!
//! In: `{"id":1,"command":"dial","args":{"number":…,"origin":…,"pins":[…],"tell":7}}`, and `say` and `hang_up`
//! alike. Out: `{"id":1,"ok":…}` or `{"id":1,"error":…}`, and `{"channel":7,"index":0,"message":…}` for what is
//! told on channel 7. It ends with its input.

#![allow(clippy::print_stdout)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nightjar_mobile::{Line, Told};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

#[derive(Deserialize)]
struct Asked {
    id: u64,
    #[serde(flatten)]
    deed: Deed,
}

#[derive(Deserialize)]
#[serde(tag = "command", content = "args", rename_all = "snake_case")]
enum Deed {
    Dial { number: u32, origin: String, pins: Vec<String>, tell: u32 },
    Say { number: u32, text: String },
    HangUp { number: u32 },
}

fn act(line: &Line, runtime: &Runtime, deed: Deed) -> Result<Value, String> {
    match deed {
        Deed::Dial { number, origin, pins, tell: channel } => {
            let index = AtomicU64::new(0);
            let tell = move |told: Told| {
                let index = index.fetch_add(1, Relaxed);
                println!("{}", json!({"channel": channel, "index": index, "message": told}));
                true
            };
            let carried = line.dial(number, &origin, &pins, tell).map_err(|error| error.to_string())?;
            runtime.spawn(carried);
            Ok(Value::Null)
        }
        Deed::Say { number, text } => Ok(json!(line.say(number, text))),
        Deed::HangUp { number } => {
            line.hang_up(number);
            Ok(Value::Null)
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::new()?;
    let line = Line::default();
    for asked in std::io::stdin().lines() {
        let Asked { id, deed } = serde_json::from_str(&asked?)?;
        let answer = match act(&line, &runtime, deed) {
            Ok(ok) => json!({"id": id, "ok": ok}),
            Err(error) => json!({"id": id, "error": error}),
        };
        println!("{answer}");
    }
    Ok(())
}
