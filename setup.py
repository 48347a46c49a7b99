"""Packaging of FastNN; README.md says which versions in these ranges were tested."""
import setuptools

TENSORFLOW = '>=2.16,<2.19'  # Horovod 0.28.1 does not build against later ones.

setuptools.setup(
    name='fastnn',
    version='1.0.0',
    description='TF1-style training scripts for image classification: TF-Slim networks, '
                'TFRecords, Horovod',
    packages=setuptools.find_packages(include=['images', 'images.*']),
    py_modules=['flags', 'train_image_classifiers'],
    python_requires='>=3.9,<3.13',
    install_requires=[
        'tensorflow' + TENSORFLOW,
        'tf_keras' + TENSORFLOW,  # Requires tensorflow of the same minor version.
        'tf-slim>=1.1.0,<1.2',
        'numpy>=1.23,<2.1',
        'absl-py>=1.4',
    ],
    extras_require={
        # Built from source against the installed TensorFlow: see README.md.
        'horovod': ['horovod==0.28.1'],
        # Converting images to TFRecords.
        'convert': ['pillow>=10.1', 'scikit-learn>=1.1'],
        # scripts/benchmark.py and its plots.
        'benchmark': ['psutil>=5.6', 'matplotlib>=3.5'],
        'test': ['pytest>=7', 'pytest-xdist>=3.2', 'ruff>=0.8', 'pillow>=10.1',
                 'scikit-learn>=1.1', 'psutil>=5.6', 'matplotlib>=3.5'],
    },
)
