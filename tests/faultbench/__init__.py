"""Real training runs with known faults, and healthy ones that look like it: how right are the alerts?"""
