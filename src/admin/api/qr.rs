//! The QR code that waits to be scanned, as JSON, PNG and SVG.
//!
//! In: the code's text from the session. Out: pictures with the quiet zone that scanners need. The text links an account
//! to whoever has it: must not be logged or cached.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ExtendedColorType, ImageEncoder as _, Luma};
use qrcode::{EcLevel, QrCode};
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::server::Context;
use super::account_id;
use crate::session::Qr;

/// The smallest side of the PNG, in pixels.
const SIDE: u32 = 480;

/// `GET /api/accounts/{id}/qr`
pub(in super::super) async fn json(
    State(context): State<Arc<Context>>,
    id: Path<String>,
) -> Result<Json<Value>, Refusal> {
    let qr = current(&context, id)?;
    let image = format!("data:image/png;base64,{}", STANDARD.encode(png_of(&qr.text)?));
    Ok(Json(
        json!({"qr": qr.text, "attempt": qr.attempt, "expires_at": qr.expires_at, "image": image}),
    ))
}

/// `GET /api/accounts/{id}/qr.png`
pub(in super::super) async fn png(State(context): State<Arc<Context>>, id: Path<String>) -> Result<Response, Refusal> {
    let bytes = png_of(&current(&context, id)?.text)?;
    Ok(([(header::CONTENT_TYPE, "image/png")], bytes).into_response())
}

/// `GET /api/accounts/{id}/qr.svg`
pub(in super::super) async fn svg(State(context): State<Arc<Context>>, id: Path<String>) -> Result<Response, Refusal> {
    let text = svg_of(&current(&context, id)?.text)?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], text).into_response())
}

fn current(context: &Context, id: Path<String>) -> Result<Qr, Refusal> {
    Ok(context.sessions.qr(&account_id(id)?)?)
}

fn code(text: &str) -> Result<QrCode, Refusal> {
    // As WhatsApp Web draws it: a screen needs no more error correction, and larger squares scan better.
    QrCode::with_error_correction_level(text, EcLevel::L).map_err(|error| Refusal::defect(&error))
}

fn png_of(text: &str) -> Result<Vec<u8>, Refusal> {
    let picture = code(text)?.render::<Luma<u8>>().min_dimensions(SIDE, SIDE).build();
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(
            picture.as_raw(),
            picture.width(),
            picture.height(),
            ExtendedColorType::L8,
        )
        .map_err(|error| Refusal::defect(&error))?;
    Ok(bytes)
}

fn svg_of(text: &str) -> Result<String, Refusal> {
    Ok(code(text)?
        .render::<qrcode::render::svg::Color<'_>>()
        .min_dimensions(SIDE, SIDE)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as the texts of WhatsApp Web are.
    const TEXT: &str = "2@A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0U1v2W3x4Y5z6A7b8C9d0E1f2G3h4I5j6K7l8M9n0,\
        abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq=,abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq=,\
        abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq=,1";

    #[test]
    fn the_png_is_the_code_with_a_quiet_zone() {
        let bytes = png_of(TEXT).unwrap();
        let picture = image::load_from_memory(&bytes).unwrap().to_luma8();
        let code = code(TEXT).unwrap();
        let modules = u32::try_from(code.width()).unwrap();
        let pixels = picture.width() / (modules + 8);
        assert_eq!(
            picture.width(),
            pixels * (modules + 8),
            "four modules of quiet on each side"
        );
        for (index, colour) in code.to_colors().into_iter().enumerate() {
            let index = u32::try_from(index).unwrap();
            let middle = |module: u32| (module + 4) * pixels + pixels / 2;
            let pixel = picture.get_pixel(middle(index % modules), middle(index / modules)).0[0];
            assert_eq!(pixel == 0, colour == qrcode::Color::Dark, "module {index}");
        }
        assert!((0..picture.width()).all(|x| picture.get_pixel(x, pixels).0[0] == 255));
    }

    #[test]
    fn the_svg_is_one_picture_without_script() {
        let svg = svg_of(TEXT).unwrap();
        assert!(svg.contains("<svg") && svg.contains("</svg>") && !svg.contains("<script"));
    }
}
