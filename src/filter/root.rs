//! One root context: an instance of the filter. Envoy creates one for each push.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::host::Envoy;
use super::stream::Http;
use tidegate_proxy::filters::Filters;
use tidegate_proxy::push::Instance;

thread_local! {
    static FILTERS: Rc<Filters> = Rc::default();
}

#[derive(Debug)]
pub(super) struct Root(Instance);

impl Root {
    pub(super) fn new() -> Self {
        Self(Instance::new(FILTERS.with(Rc::clone)))
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn on_tick(&mut self) {
        self.0.tick(&Envoy);
    }

    fn on_configure(&mut self, _: usize) -> bool {
        self.0.configure(&Envoy)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http(self.0.stream()?)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
