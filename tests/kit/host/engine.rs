//! What runs a module: an interpreter in the tests, which is small and ready at once, and a compiler where one
//! module is run ten million times (`make fuzz`). The two have the same words for nearly everything; here stands
//! the rest. Never knows what a module asks for.

#[cfg(not(fuzzing))]
pub(super) use wasmi::{
    Caller, Engine, Error, ExternType, Instance, Linker, Memory, Module, Store, TypedFunc, Val, WasmParams, WasmResults,
};
#[cfg(fuzzing)]
pub(super) use wasmtime::{
    Caller, Engine, Error, ExternType, Instance, Linker, Memory, Module, Store, TypedFunc, Val, WasmParams, WasmResults,
};

/// An engine; a metered one counts what a module does.
#[cfg(not(fuzzing))]
#[allow(clippy::unnecessary_wraps, reason = "the other one can fail")]
pub(super) fn engine(metered: bool) -> Result<Engine, Error> {
    Ok(Engine::new(wasmi::Config::default().consume_fuel(metered)))
}

/// An engine; a metered one counts what a module does.
#[cfg(fuzzing)]
pub(super) fn engine(metered: bool) -> Result<Engine, Error> {
    Engine::new(wasmtime::Config::new().consume_fuel(metered))
}

/// A module with its imports, started.
#[cfg(not(fuzzing))]
pub(super) fn start<T>(linker: &Linker<T>, store: &mut Store<T>, code: &Module) -> Result<Instance, Error> {
    linker.instantiate_and_start(store, code)
}

/// A module with its imports, started.
#[cfg(fuzzing)]
pub(super) fn start<T: 'static>(linker: &Linker<T>, store: &mut Store<T>, code: &Module) -> Result<Instance, Error> {
    linker.instantiate(store, code)
}
