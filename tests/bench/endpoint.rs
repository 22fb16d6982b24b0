//! One HTTP request at a time, for the clients of `npm run bench`.

use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Far more than a connection takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Where an endpoint for offers is.
pub(crate) struct Endpoint {
    host: String,
    pub(crate) path: String,
}

impl Endpoint {
    pub(crate) fn parse(url: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").context("an http:// address is needed")?;
        let (host, path) = rest.split_once('/').context("the address has no path")?;
        Ok(Self { host: host.to_owned(), path: format!("/{path}") })
    }

    /// One request; gives the status line with the headers, and the body.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<(String, String)> {
        let mut stream = TcpStream::connect(&self.host).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await??;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        Ok((head.to_owned(), body.to_owned()))
    }

    /// Sends an offer; gives the path of the session and the answer.
    pub(crate) async fn offer(&self, offer: &str) -> anyhow::Result<(String, String)> {
        let (head, answer) = self.request("POST", &self.path, offer).await?;
        anyhow::ensure!(head.starts_with("HTTP/1.1 201"), "{head}\n{answer}");
        let location = head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case("location")));
        let session = location.context("no Location")?.1.trim();
        let session = match session.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => session,
        };
        Ok((session.to_owned(), answer))
    }

    /// Ends a session.
    pub(crate) async fn end(&self, session: &str) -> anyhow::Result<()> {
        let (head, _) = self.request("DELETE", session, "").await?;
        anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        Ok(())
    }
}

/// The lines of the input, read by a thread of their own. Who asks waits for the answer, so one is enough;
/// a second line waits in the pipe.
pub(crate) fn questions() -> mpsc::Receiver<()> {
    let (ask, asked) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if line.is_err() || ask.blocking_send(()).is_err() {
                return;
            }
        }
    });
    asked
}
