"""The pages in a real browser: headless Chromium against a running replica."""
