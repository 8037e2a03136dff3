//! Owned FFmpeg objects and its error texts: the small unsafe base that the other files of this folder stand on.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::io::{self, ErrorKind};
use std::sync::Once;

use ffmpeg_next::ffi;

use super::error::MediaError;

/// Silences FFmpeg's own log once: it prints addresses, and every failure is reported by its code anyway.
pub fn init() {
    static ONCE: Once = Once::new();
    // SAFETY: both calls only set process-wide state and may be made at any time.
    ONCE.call_once(|| unsafe {
        ffi::av_log_set_level(ffi::AV_LOG_QUIET);
        ffi::avformat_network_init();
    });
}

/// FFmpeg's text for an error code.
pub fn text(code: c_int) -> String {
    let mut buffer: [c_char; 128] = [0; 128];
    // SAFETY: the buffer has the given size, and `av_strerror` ends what it writes with a zero.
    unsafe {
        ffi::av_strerror(code, buffer.as_mut_ptr(), buffer.len());
        CStr::from_ptr(buffer.as_ptr()).to_string_lossy().into_owned()
    }
}

/// The kind of an operating system error behind an FFmpeg code.
pub fn os_error(code: c_int) -> Option<ErrorKind> {
    (-4095..0).contains(&code).then(|| io::Error::from_raw_os_error(-code).kind())
}

pub fn check(code: c_int, what: &'static str) -> Result<c_int, MediaError> {
    if code < 0 { Err(MediaError::Library { what, cause: text(code) }) } else { Ok(code) }
}

pub fn out_of_memory(what: &'static str) -> MediaError {
    MediaError::Library { what, cause: "out of memory".to_owned() }
}

/// An `AVPacket`.
pub struct AvPacket(*mut ffi::AVPacket);

// SAFETY: a packet is plain data behind a reference count that is atomic; nothing in it is tied to a thread.
unsafe impl Send for AvPacket {}

impl AvPacket {
    pub fn new() -> Result<Self, MediaError> {
        // SAFETY: takes no arguments; null is checked.
        let packet = unsafe { ffi::av_packet_alloc() };
        if packet.is_null() { Err(out_of_memory("a packet")) } else { Ok(Self(packet)) }
    }

    pub fn as_ptr(&mut self) -> *mut ffi::AVPacket {
        self.0
    }

    pub fn unref(&mut self) {
        // SAFETY: the pointer is a live packet.
        unsafe { ffi::av_packet_unref(self.0) }
    }

    pub fn data(&self) -> &[u8] {
        // SAFETY: FFmpeg keeps `data` valid for `size` bytes while the packet is not changed, and `self` is borrowed.
        unsafe {
            let packet = &*self.0;
            if packet.data.is_null() || packet.size <= 0 {
                return &[];
            }
            std::slice::from_raw_parts(packet.data, packet.size as usize)
        }
    }

    pub fn pts(&self) -> Option<i64> {
        // SAFETY: the pointer is a live packet.
        let pts = unsafe { (*self.0).pts };
        (pts != ffi::AV_NOPTS_VALUE).then_some(pts)
    }

    pub fn stream_index(&self) -> c_int {
        // SAFETY: the pointer is a live packet.
        unsafe { (*self.0).stream_index }
    }
}

impl Drop for AvPacket {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `av_packet_alloc` and is freed once.
        unsafe { ffi::av_packet_free(&raw mut self.0) }
    }
}

/// An `AVFrame`, of pictures or of sound.
pub struct AvFrame(*mut ffi::AVFrame);

// SAFETY: a frame is plain data behind atomic reference counts; it is only changed through `&mut`, by its one owner.
unsafe impl Send for AvFrame {}
// SAFETY: through `&` it is only read.
unsafe impl Sync for AvFrame {}

impl AvFrame {
    pub fn new() -> Result<Self, MediaError> {
        // SAFETY: takes no arguments; null is checked.
        let frame = unsafe { ffi::av_frame_alloc() };
        if frame.is_null() { Err(out_of_memory("a frame")) } else { Ok(Self(frame)) }
    }

    /// Another reference to the same pixels.
    pub fn share(&self) -> Result<Self, MediaError> {
        // SAFETY: the pointer is a live frame; null is checked.
        let frame = unsafe { ffi::av_frame_clone(self.0) };
        if frame.is_null() { Err(out_of_memory("a frame")) } else { Ok(Self(frame)) }
    }

    pub fn as_ptr(&self) -> *const ffi::AVFrame {
        self.0
    }

    pub fn as_mut_ptr(&mut self) -> *mut ffi::AVFrame {
        self.0
    }

    pub fn fields(&self) -> &ffi::AVFrame {
        // SAFETY: the pointer is a live frame for as long as `self` is.
        unsafe { &*self.0 }
    }

    pub fn fields_mut(&mut self) -> &mut ffi::AVFrame {
        // SAFETY: the pointer is a live frame, borrowed by nobody else.
        unsafe { &mut *self.0 }
    }

    pub fn width(&self) -> u32 {
        u32::try_from(self.fields().width).unwrap_or(0)
    }

    pub fn height(&self) -> u32 {
        u32::try_from(self.fields().height).unwrap_or(0)
    }

    pub fn pixel_format(&self) -> ffi::AVPixelFormat {
        pixel_format(self.fields().format)
    }
}

impl Drop for AvFrame {
    fn drop(&mut self) {
        // SAFETY: the pointer came from FFmpeg's allocator and is freed once.
        unsafe { ffi::av_frame_free(&raw mut self.0) }
    }
}

/// FFmpeg stores pixel formats of frames as plain integers.
pub fn pixel_format(format: c_int) -> ffi::AVPixelFormat {
    // SAFETY: any integer may be asked for; null means that this library knows no such format.
    let known = format >= 0
        && unsafe { !ffi::av_get_pix_fmt_name(std::mem::transmute::<c_int, ffi::AVPixelFormat>(format)).is_null() };
    if known {
        // SAFETY: the enum was generated from the headers of this library, which knows the value.
        unsafe { std::mem::transmute::<c_int, ffi::AVPixelFormat>(format) }
    } else {
        ffi::AVPixelFormat::AV_PIX_FMT_NONE
    }
}

/// An `AVDictionary` of options.
pub struct Options(*mut ffi::AVDictionary);

impl Options {
    pub fn new() -> Self {
        Self(std::ptr::null_mut())
    }

    pub fn set(&mut self, key: &CStr, value: &str) -> Result<(), MediaError> {
        let value = CString::new(value).map_err(|_| MediaError::Address { cause: "it has a zero byte".to_owned() })?;
        // SAFETY: both strings are zero-terminated and copied by the call.
        let code = unsafe { ffi::av_dict_set(&raw mut self.0, key.as_ptr(), value.as_ptr(), 0) };
        check(code, "an option").map(|_| ())
    }

    pub fn as_mut_ptr(&mut self) -> *mut *mut ffi::AVDictionary {
        &raw mut self.0
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: the dictionary is owned here; null is allowed.
        unsafe { ffi::av_dict_free(&raw mut self.0) }
    }
}

/// An `AVCodecContext`, decoder or encoder.
pub struct CodecContext(*mut ffi::AVCodecContext);

// SAFETY: a codec context may move between threads as long as one at a time uses it, which `&mut` enforces.
unsafe impl Send for CodecContext {}

impl CodecContext {
    pub fn new(codec: *const ffi::AVCodec) -> Result<Self, MediaError> {
        // SAFETY: the codec comes from FFmpeg's static tables; null is checked.
        let context = unsafe { ffi::avcodec_alloc_context3(codec) };
        if context.is_null() { Err(out_of_memory("a codec")) } else { Ok(Self(context)) }
    }

    pub fn fields(&mut self) -> &mut ffi::AVCodecContext {
        // SAFETY: the pointer is a live context, borrowed by nobody else.
        unsafe { &mut *self.0 }
    }

    /// Gives the codec its configuration record, padded as its bit readers need it.
    pub fn set_extradata(&mut self, data: &[u8]) -> Result<(), MediaError> {
        if data.is_empty() {
            return Ok(());
        }
        let size = data.len() + ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
        // SAFETY: the buffer has room for `data` and is zeroed behind it; the context owns it from here on.
        unsafe {
            let buffer = ffi::av_mallocz(size).cast::<u8>();
            if buffer.is_null() {
                return Err(out_of_memory("a codec configuration"));
            }
            std::ptr::copy_nonoverlapping(data.as_ptr(), buffer, data.len());
            (*self.0).extradata = buffer;
            (*self.0).extradata_size = data.len() as c_int;
        }
        Ok(())
    }

    pub fn open(&mut self, codec: *const ffi::AVCodec) -> Result<(), MediaError> {
        // SAFETY: context and codec are live, no options are passed.
        check(unsafe { ffi::avcodec_open2(self.0, codec, std::ptr::null_mut()) }, "the codec").map(|_| ())
    }

    /// `None` ends the stream. FFmpeg copies the data, with the padding that its bit readers need.
    pub fn send_data(&mut self, data: Option<(&[u8], i64)>) -> c_int {
        let Some((bytes, pts)) = data else {
            // SAFETY: a null packet asks for what is still inside.
            return unsafe { ffi::avcodec_send_packet(self.0, std::ptr::null()) };
        };
        let Ok(mut packet) = AvPacket::new() else { return ffi::AVERROR(12) };
        let Ok(size) = c_int::try_from(bytes.len()) else { return ffi::AVERROR_INVALIDDATA };
        // SAFETY: without a `buf` FFmpeg copies the borrowed bytes before the call returns; it does not write to them.
        unsafe {
            let fields = &mut *packet.as_ptr();
            fields.data = bytes.as_ptr().cast_mut();
            fields.size = size;
            fields.pts = pts;
            let code = ffi::avcodec_send_packet(self.0, fields);
            fields.data = std::ptr::null_mut();
            fields.size = 0;
            code
        }
    }

    /// `None`: no frame is ready, or the data was damaged.
    pub fn receive_frame(&mut self) -> Result<Option<AvFrame>, MediaError> {
        let mut frame = AvFrame::new()?;
        // SAFETY: context and frame are live.
        let code = unsafe { ffi::avcodec_receive_frame(self.0, frame.as_mut_ptr()) };
        Ok((code >= 0).then_some(frame))
    }

    pub fn send_frame(&mut self, frame: Option<&AvFrame>) -> Result<(), MediaError> {
        let frame = frame.map_or(std::ptr::null(), AvFrame::as_ptr);
        // SAFETY: context and frame are live; null ends the stream.
        check(unsafe { ffi::avcodec_send_frame(self.0, frame) }, "a frame").map(|_| ())
    }

    pub fn receive_packet(&mut self) -> Result<Option<AvPacket>, MediaError> {
        let mut packet = AvPacket::new()?;
        // SAFETY: context and packet are live.
        let code = unsafe { ffi::avcodec_receive_packet(self.0, packet.as_ptr()) };
        Ok((code >= 0).then_some(packet))
    }

    pub fn flush(&mut self) {
        // SAFETY: the context is an open decoder.
        unsafe { ffi::avcodec_flush_buffers(self.0) }
    }
}

impl Drop for CodecContext {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `avcodec_alloc_context3` and is freed once, with what it owns.
        unsafe { ffi::avcodec_free_context(&raw mut self.0) }
    }
}
