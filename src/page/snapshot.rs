//! A picture of the tab as it is.
//!
//! In: an attached page. Out: the bytes of a PNG or JPEG. Must not bring the tab to the front, lay a size over it or
//! take more than the window: each of these makes captures slow or hang. Throttling is the session's.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chromiumoxide::cdp::browser_protocol::page::{CaptureScreenshotFormat, CaptureScreenshotParams};

use super::Error;
use super::connection::Attached;
use super::report::Format;

/// About 50 ms is usual; a capture that hangs does so for good.
const DEADLINE: Duration = Duration::from_secs(5);
const QUALITY: i64 = 70;

pub(super) async fn take(page: &Attached, format: Format) -> Result<Vec<u8>, Error> {
    let step = "take a picture";
    let asked = match format {
        Format::Png => CaptureScreenshotParams {
            format: Some(CaptureScreenshotFormat::Png),
            // A third less time for a third more bytes.
            optimize_for_speed: Some(true),
            ..CaptureScreenshotParams::default()
        },
        Format::Jpeg => CaptureScreenshotParams {
            format: Some(CaptureScreenshotFormat::Jpeg),
            quality: Some(QUALITY),
            ..CaptureScreenshotParams::default()
        },
    };
    let answer = page.execute_within(step, asked, DEADLINE).await?;
    let text: &str = answer.data.as_ref();
    STANDARD
        .decode(text)
        .map_err(|_| page.failed(step, "the picture is not base64"))
}
