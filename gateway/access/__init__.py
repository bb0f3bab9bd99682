"""Who may read what: scopes and tags of fields, folded in when an operation is prepared."""
