//! The host's functions, as the ABI declares them. Natively, those of the model under the same names.

#[cfg(not(target_arch = "wasm32"))]
pub(super) use super::model::*;

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    pub(super) fn proxy_log(level: u32, line: *const u8, size: usize) -> u32;
    pub(super) fn proxy_get_current_time_nanoseconds(nanos: *mut u64) -> u32;
    pub(super) fn proxy_set_tick_period_milliseconds(millis: u32) -> u32;
    pub(super) fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        most: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    pub(super) fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    pub(super) fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        size: usize,
        data: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    pub(super) fn proxy_remove_header_map_value(map: u32, name: *const u8, size: usize) -> u32;
    pub(super) fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    pub(super) fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    pub(super) fn proxy_get_property(path: *const u8, length: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    pub(super) fn proxy_set_property(path: *const u8, length: usize, value: *const u8, size: usize) -> u32;
    pub(super) fn proxy_get_shared_data(
        key: *const u8,
        length: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> u32;
    pub(super) fn proxy_set_shared_data(
        key: *const u8,
        length: usize,
        value: *const u8,
        size: usize,
        version: u32,
    ) -> u32;
    pub(super) fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    pub(super) fn proxy_call_foreign_function(
        name: *const u8,
        length: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    pub(super) fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
    pub(super) fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
    pub(super) fn proxy_record_metric(id: u32, value: u64) -> u32;
    pub(super) fn proxy_increment_metric(id: u32, more: i64) -> u32;
}
