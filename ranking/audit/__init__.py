"""A teacher on a sample: is it in form, does it do anything, does it agree with itself, does place sway it, is it right?"""
