"""What the service does: authorise, apply the rules, store, and publish once both stores have committed."""
