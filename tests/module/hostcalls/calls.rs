//! Which statuses each call of the module survives, and which a real Envoy answers.

/// A call of the module, and what its answers do.
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// Statuses after which the filter goes on. All others are a panic of the SDK.
    pub survived: &'static [u32],
    /// What Envoy answers, and why nothing else.
    pub answers: &'static [u32],
    /// Why nothing else.
    pub because: &'static str,
}

/// Beyond these answers there are two more. 6, invalid memory access, needs pointers that lead out of the VM's memory,
/// or a VM that can allocate no more; ours are those of live Rust values. 10, internal failure, is also the answer to
/// any call that an operator has forbidden by `capability_restriction_config`: what traps then, traps on purpose.
pub const CALLS: [Call; 17] = [
    Call { name: "proxy_log", survived: &[0], answers: &[0], because: "2 is for a level that does not exist" },
    Call {
        name: "proxy_get_current_time_nanoseconds",
        survived: &[0],
        answers: &[0],
        because: "a clock always has a time",
    },
    Call {
        name: "proxy_get_buffer_bytes",
        survived: &[0, 1],
        answers: &[0, 1],
        because: "2 is for a range that overflows; asked are 0 to the most",
    },
    Call {
        name: "proxy_get_property",
        survived: &[0, 1, 3, 10],
        answers: &[0, 1, 3, 10],
        because: "not there, not to be written as bytes, not to be read from a message; there is no other way out",
    },
    Call {
        name: "proxy_get_header_map_pairs",
        survived: &[0],
        answers: &[0],
        because: "2 is for a map that does not exist; one that is not there in this phase is empty",
    },
    Call {
        name: "proxy_set_header_map_pairs",
        survived: &[0],
        answers: &[0],
        because: "2 is for a map that is not there in this phase; written is only in the request phase",
    },
    Call {
        name: "proxy_add_header_map_value",
        survived: &[0],
        answers: &[0],
        because: "2 is for a map that is not there in this phase; added is only in the response phase",
    },
    Call {
        name: "proxy_replace_header_map_value",
        survived: &[0],
        answers: &[0],
        because: "2 is for a map that is not there in this phase; each is written in its own phase only",
    },
    Call {
        name: "proxy_remove_header_map_value",
        survived: &[0],
        answers: &[0],
        because: "2 is for a map that is not there in this phase; headers are removed in theirs, trailers in theirs",
    },
    Call {
        name: "proxy_set_property",
        survived: &[0],
        answers: &[0],
        because: "1 is for a context without a request, 2 for a property that was declared read-only; ours is neither",
    },
    Call { name: "proxy_get_shared_data", survived: &[0, 1], answers: &[0, 1], because: "a key is there or not" },
    Call {
        name: "proxy_set_shared_data",
        survived: &[0, 8],
        answers: &[0, 8],
        because: "another VM was faster, or not",
    },
    Call { name: "proxy_define_metric", survived: &[0], answers: &[0], because: "2 is for a kind that does not exist" },
    Call {
        name: "proxy_record_metric",
        survived: &[0, 1],
        answers: &[0, 1],
        because: "2 is for an id of no kind; all ids come from proxy_define_metric",
    },
    Call {
        name: "proxy_increment_metric",
        survived: &[0, 1, 2],
        answers: &[0, 1, 2],
        because: "there, not there, or not a counter; nothing below 1 is added",
    },
    Call {
        name: "proxy_set_tick_period_milliseconds",
        survived: &[0],
        answers: &[0],
        because: "it cannot fail for a root",
    },
    Call {
        name: "proxy_send_local_response",
        survived: &[0],
        answers: &[0],
        because: "2 is for a second answer in one request, or headers that are none: there is one, and its own are",
    },
];

/// As [`CALLS`]; an Envoy before 1.33 does not know the function, and says 1.
pub const FOREIGN: Call = Call {
    name: "proxy_call_foreign_function",
    survived: &[0, 1, 2, 3, 10],
    answers: &[0, 1, 2],
    because: "an Envoy before 1.33 does not know the function; the others are a function's own answers",
};
