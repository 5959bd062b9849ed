"""From runs and judgements to measures, a test of significance and a verdict."""
