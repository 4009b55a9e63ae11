"""The phases of a training: in which stretches it learned fast, slowly, not at all, overfitted or diverged."""
