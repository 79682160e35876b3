"""What does a call look like on the wire: envelope, limit, latency, log?"""
