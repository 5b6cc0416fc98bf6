//! Where the command meets a cluster, a Prometheus and all proxies at once. Holds no rule: what is said of a config is
//! said by the analysis, and a verdict by the judge.
