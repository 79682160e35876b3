"""What does TikTok say, and may I ask?"""
