"""Bridges between Quark and other projects: callbacks for frameworks, sinks for dashboards."""
