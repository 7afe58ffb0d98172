//! A client of the stream: reads frames off a socket.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::rig::{Host, PATIENCE};

/// One frame.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) id: String,
    pub(super) event: String,
    pub(super) data: String,
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// As an answer ends.
    Cleanly,
    /// In the middle.
    Cut,
}

pub(super) struct Stream {
    socket: BufReader<TcpStream>,
    text: Vec<u8>,
    /// Status and headers.
    pub(super) head: String,
}

impl Stream {
    /// Asks, and reads the head of the answer.
    pub(super) async fn open(host: &Host, path: &str, headers: &[(&str, &str)]) -> Self {
        Self::open_with(host, &host.key, path, headers).await
    }

    pub(super) async fn open_with(host: &Host, key: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        let bearer = format!("Bearer {key}");
        Self::open_bare(host, path, &[headers, &[("authorization", &bearer)]].concat()).await
    }

    /// With these headers alone.
    pub(super) async fn open_bare(host: &Host, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(host.addr).await.unwrap();
        let mut head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes()).await.unwrap();
        let mut socket = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = timeout(PATIENCE, socket.read_line(&mut head)).await;
            assert_ne!(read.expect("there is an answer").unwrap(), 0, "{head}");
        }
        Self {
            socket,
            text: Vec::new(),
            head,
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The next frame.
    pub(super) async fn frame(&mut self) -> Result<Frame, Over> {
        timeout(PATIENCE, self.read()).await.expect("a frame arrives")
    }

    /// The next frame that is an event.
    pub(super) async fn event(&mut self) -> Frame {
        loop {
            let frame = self.frame().await.expect("the stream goes on");
            if !frame.data.is_empty() {
                return frame;
            }
        }
    }

    /// The ids of the next events.
    pub(super) async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::with_capacity(count);
        while found.len() < count {
            found.push(self.event().await.id);
        }
        found
    }

    /// Reads to the end; the ids of the events, and how it ended.
    pub(super) async fn rest(&mut self) -> (Vec<String>, Over) {
        let mut found = Vec::new();
        loop {
            match self.frame().await {
                Ok(frame) if frame.data.is_empty() => {}
                Ok(frame) => found.push(frame.id),
                Err(over) => return (found, over),
            }
        }
    }

    async fn read(&mut self) -> Result<Frame, Over> {
        loop {
            if let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                let frame: Vec<u8> = self.text.drain(..end + 2).collect();
                return Ok(parse(&String::from_utf8(frame).unwrap()));
            }
            self.chunk().await?;
        }
    }

    async fn chunk(&mut self) -> Result<(), Over> {
        let mut size = String::new();
        match self.socket.read_line(&mut size).await {
            Ok(read) if read > 0 => {}
            _ => return Err(Over::Cut),
        }
        let size = usize::from_str_radix(size.trim(), 16).map_err(|_| Over::Cut)?;
        let mut chunk = vec![0; size + 2];
        self.socket.read_exact(&mut chunk).await.map_err(|_| Over::Cut)?;
        if size == 0 {
            return Err(Over::Cleanly);
        }
        chunk.truncate(size);
        self.text.extend(chunk);
        Ok(())
    }
}

fn parse(text: &str) -> Frame {
    let mut frame = Frame::default();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => id.clone_into(&mut frame.id),
            Some(("event", event)) => event.clone_into(&mut frame.event),
            Some(("data", data)) => data.clone_into(&mut frame.data),
            _ => assert!(line.is_empty() || line.starts_with(':'), "{line}"),
        }
    }
    frame
}
